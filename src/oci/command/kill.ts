/** `kill`: sends a signal to the container's process, or to all of its processes. */
import { errnoCode, GantryError } from "../../base/errors.ts";
import { processAddon } from "../../native/process.ts";
import { createCgroupManager } from "../cgroup-manager.ts";
import type { CommandContext } from "./command-context.ts";
import { declareCommand } from "./command-declaration.ts";
import { containerStatus, loadContainer } from "./container-state.ts";
import { signalNumber } from "./signal-number.ts";

export const killCommand = declareCommand({
  arguments: ["id", "signal?"],
  options: { all: { kind: "flag", short: "a", help: "to all processes of the container" } },
  run: (context, [id, signal], { all }) => kill(context, id, signal ?? "SIGTERM", all),
});

export async function kill(context: CommandContext, id: string, signal: string, all: boolean): Promise<void> {
  const container = loadContainer(context.root, id);
  const number = signalNumber(signal);
  if (all) {
    for (const pid of await createCgroupManager().load(container.cgroupPath).processes()) {
      try {
        process.kill(pid, number);
      } catch (error) {
        if (errnoCode(error) !== "ESRCH") throw error;
      }
    }
    return;
  }
  const alive = containerStatus(context.root, container) !== "stopped";
  if (!alive || !processAddon.killProcess(container.pid, container.startTime, number)) {
    throw new GantryError("failed-precondition", "container not running");
  }
}
