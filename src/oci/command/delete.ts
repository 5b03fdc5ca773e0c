/** `delete`: removes what is left of a stopped container, or, forced, of any. */
import { sleep } from "../../base/abort.ts";
import { errorKind, GantryError } from "../../base/errors.ts";
import { processAddon } from "../../native/process.ts";
import { createCgroupManager } from "../cgroup-manager.ts";
import { removeIntelRdt } from "../intel-rdt.ts";
import type { CommandContext } from "./command-context.ts";
import { declareCommand } from "./command-declaration.ts";
import {
  containerState,
  containerStatus,
  forgetContainer,
  isAlive,
  loadContainer,
  type StoredContainer,
  withContainerLock,
} from "./container-state.ts";
import { loadUnfinished } from "./container-unfinished.ts";
import { removeCgroup } from "./create.ts";
import { runPoststopHooks } from "./hooks.ts";

const REMOVE_TIMEOUT_MS = 10_000;
const SIGKILL = 9;

export const deleteCommand = declareCommand({
  arguments: ["id"],
  options: { force: { kind: "flag", short: "f", help: "kill it first if need be" } },
  run: (context, [id], { force }) => deleteContainer(context, id, force),
});

export async function deleteContainer(context: CommandContext, id: string, force: boolean): Promise<void> {
  const { root, log } = context;
  try {
    await withContainerLock(root, id, async () => {
      const container = force ? await loadOrEnd(root, id) : loadContainer(root, id);
      if (!container) return;
      const status = containerStatus(root, container);
      if (status !== "stopped" && !force) {
        throw new GantryError(
          "failed-precondition",
          `cannot delete container ${id} that is not stopped: ${status}`,
        );
      }
      if (status !== "stopped") {
        processAddon.killProcess(container.pid, container.startTime, SIGKILL);
        // A paused one takes no signal until its group is told to die.
        if (status === "paused") await createCgroupManager().load(container.cgroupPath).kill();
        for (const deadline = Date.now() + REMOVE_TIMEOUT_MS; isAlive(container); await sleep(1)) {
          if (Date.now() > deadline)
            throw new GantryError(
              "deadline-exceeded",
              `process ${container.pid} of container ${id} does not die`,
            );
        }
      }
      await removeCgroup(createCgroupManager(), container.cgroupPath);
      removeIntelRdt(container.spec.linux?.intelRdt, id);
      const state = containerState(root, container);
      forgetContainer(root, id);
      await runPoststopHooks(container.spec, state, log);
    });
  } catch (error) {
    if (!force || errorKind(error) !== "not-found") throw error;
    // What a create that was cut off has left.
    forgetContainer(root, id);
  }
}

/** Undefined when there was what a create that was cut off has left, which is gone now. */
async function loadOrEnd(root: string, id: string): Promise<StoredContainer | undefined> {
  try {
    return loadContainer(root, id);
  } catch (error) {
    const unfinished = errorKind(error) === "not-found" ? loadUnfinished(root, id) : undefined;
    if (!unfinished) throw error;
    await removeCgroup(createCgroupManager(), unfinished.cgroupPath);
    removeIntelRdt(unfinished.intelRdt, id);
    forgetContainer(root, id);
    return undefined;
  }
}
