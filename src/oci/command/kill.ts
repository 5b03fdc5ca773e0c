/** `kill`: sends a signal to the container's process, or to all of its processes. */
import { GantryError } from "../../base/errors.ts";
import { processAddon } from "../../native/process.ts";
import { createCgroupManager } from "../cgroup-manager.ts";
import type { Cgroup } from "../cgroup.ts";
import type { Spec } from "../runtime-spec.ts";
import type { CommandContext } from "./command-context.ts";
import { declareCommand } from "./command-declaration.ts";
import { containerStatus, loadContainer } from "./container-state.ts";
import { signalNumber } from "./signal-number.ts";

const SIGKILL = 9;

export const killCommand = declareCommand({
  arguments: ["id", "signal?"],
  options: { all: { kind: "flag", short: "a", help: "to all processes of the container" } },
  run: (context, [id, signal], { all }) => kill(context, id, signal ?? "SIGTERM", all),
});

export async function kill(context: CommandContext, id: string, signal: string, all: boolean): Promise<void> {
  const container = loadContainer(context.root, id);
  const number = signalNumber(signal);
  const cgroup = createCgroupManager().load(container.cgroupPath);
  if (all) {
    await signalAll(cgroup, number);
    return;
  }
  const alive = containerStatus(context.root, container) !== "stopped";
  if (!alive || !processAddon.killProcess(container.pid, container.startTime, number)) {
    throw new GantryError("failed-precondition", "container not running");
  }
  // The kernel kills the others with the first process of a PID namespace; where that is another's, nobody else does.
  if (number === SIGKILL && !hasOwnPidNamespace(container.spec)) await cgroup.kill();
}

function hasOwnPidNamespace(spec: Spec): boolean {
  return spec.linux?.namespaces?.some(({ type, path }) => type === "pid" && !path) ?? false;
}

/** A pid that has come to belong to another process meanwhile is not hit: it is in the group after its start was read. */
async function signalAll(cgroup: Cgroup, number: number): Promise<void> {
  if (number === SIGKILL) {
    await cgroup.kill();
    return;
  }
  const starts = (await cgroup.processes()).map((pid): [number, number] => [
    pid,
    processAddon.processStartTime(pid),
  ]);
  const still = new Set(await cgroup.processes());
  for (const [pid, startTime] of starts)
    if (startTime > 0 && still.has(pid)) processAddon.killProcess(pid, startTime, number);
}
