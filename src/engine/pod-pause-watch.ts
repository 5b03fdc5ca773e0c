/** Watching the pause process: a shared PID namespace ends with its first process, and the pod sandbox with it. */
import { errorMessage } from "../base/errors.ts";
import type { EngineContext } from "./engine-context.ts";
import type { PodSandboxEntry } from "./pod-sandbox-table.ts";

export function watchPause(context: EngineContext, entry: PodSandboxEntry): void {
  void entry.pause?.wait().then(
    () => {
      if (entry.sandbox.state !== "ready") return;
      entry.sandbox.state = "notready";
      context.pods.save(entry);
      context.events.pod("stopped", entry);
      context.log.warn({ podSandboxId: entry.sandbox.id }, "pause process ended: pod sandbox is not ready");
    },
    (error: unknown) =>
      context.log.error(
        { podSandboxId: entry.sandbox.id, err: errorMessage(error) },
        "watching the pause process failed",
      ),
  );
}
