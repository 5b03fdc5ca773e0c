/**
 * Changing the OOM score adjustment of the processes of a group (proc_pid_oom_score_adj(5)).
 *
 * Those that have the old value get the new one; a process that was given another one by its own program keeps it.
 * A process that has ended, or that we may not change, is passed over: the score is advice, and a limit is not.
 */
import { closeSync, constants, readFileSync, writeSync } from "node:fs";
import { procfsAddon } from "../native/procfs.ts";
import { errnoCode } from "../base/errors.ts";
import type { Cgroup } from "./cgroup.ts";
import { hostLimits } from "./host-limits.ts";

/** The adjustment as far as this process may lower one. */
export function permittedOomScore(wanted: number, { oomScoreAdjMin } = hostLimits()): number {
  return Math.max(wanted, oomScoreAdjMin);
}

/** Processes whose directories are open at once. */
const AT_ONCE = 128;

/** @returns how many processes were changed, and how many of those that should have been could not be. */
export async function changeOomScore(
  group: Pick<Cgroup, "processes">,
  from: number,
  to: number,
): Promise<{ changed: number; refused: number }> {
  const count = { changed: 0, kept: 0, refused: 0 };
  const pids = await group.processes();
  for (let at = 0; at < pids.length; at += AT_ONCE) {
    const held = new Map<number, number>();
    try {
      for (const pid of pids.slice(at, at + AT_ONCE)) hold(held, pid);
      // A pid in the group before and after its directory was opened is that directory's process.
      const still = new Set(await group.processes());
      for (const [pid, directory] of held) if (still.has(pid)) count[changeOne(directory, from, to)] += 1;
    } finally {
      for (const directory of held.values()) closeSync(directory);
    }
  }
  return { changed: count.changed, refused: count.refused };
}

function hold(held: Map<number, number>, pid: number): void {
  try {
    held.set(pid, procfsAddon.procfsOpen(-1, String(pid), constants.O_RDONLY | constants.O_DIRECTORY));
  } catch {
    // It has ended.
  }
}

function changeOne(processDirectory: number, from: number, to: number): "changed" | "kept" | "refused" {
  let file: number;
  try {
    file = procfsAddon.procfsOpen(processDirectory, "oom_score_adj", constants.O_RDWR);
  } catch (error) {
    return errnoCode(error) === "ENOENT" || errnoCode(error) === "ESRCH" ? "kept" : "refused";
  }
  try {
    if (Number(readFileSync(file, "latin1")) !== from) return "kept";
    writeSync(file, String(to), 0);
    return "changed";
  } catch (error) {
    return errnoCode(error) === "ESRCH" ? "kept" : "refused";
  } finally {
    closeSync(file);
  }
}
