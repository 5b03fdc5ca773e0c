/**
 * Hooks that run outside a launch: poststart and poststop (config.md, "POSIX-platform Hooks"). The others are steps of
 * the plan. A hook gets the container's state on its standard input, its own environment and no other (CVE-2025-23266),
 * and a working directory outside the root filesystem.
 */
import { GantryError } from "../../base/errors.ts";
import { hookEnvironment, hookTimeoutMs } from "../plan-hooks.ts";
import type { Hook } from "../runtime-spec.ts";
import type { ContainerState } from "./container-state.ts";

/** @throws GantryError failed-precondition for the first hook that fails; later ones do not run. */
export function runHooks(kind: string, hooks: readonly Hook[] | undefined, state: ContainerState): void {
  (hooks ?? []).forEach((hook, index) => {
    const [name = hook.path, ...args] = hook.args ?? [];
    // Loaded with the first hook: it takes milliseconds, and few containers have any.
    const { spawnSync } = process.getBuiltinModule("node:child_process");
    const result = spawnSync(hook.path, args, {
      argv0: name,
      env: hookEnvironment(hook),
      cwd: state.bundle,
      input: JSON.stringify(state),
      stdio: ["pipe", "pipe", "pipe"],
      encoding: "utf8",
      killSignal: "SIGKILL",
      ...(hook.timeout ? { timeout: hookTimeoutMs(hook) } : {}),
    });
    // A hook need not read its input.
    const error =
      result.error && "code" in result.error && result.error.code === "EPIPE" ? undefined : result.error;
    if (!error && result.status === 0) return;
    const reason =
      error?.message ?? (result.signal ? `signal ${result.signal}` : `exit status ${result.status}`);
    const output = result.stderr ? `, ${result.stderr.trim().slice(-1024)}` : "";
    throw new GantryError("failed-precondition", `${kind} hook ${index} (${hook.path}): ${reason}${output}`);
  });
}
