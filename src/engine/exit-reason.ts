/**
 * The word for how a container ended: "Completed", "OOMKilled", "Error" or "Unknown".
 *
 * The kernel counts the processes of a group that it has killed for memory, and not which they were. The first process
 * counts as one of them if the way it ended fits: it was killed, or failed by itself, as shells and supervisors do when
 * they lose a child. One that ended well, by another signal, or by our own SIGKILL has another story, whatever it lost
 * before.
 */
import { constants } from "node:os";
import type { ExitRecord } from "../shim/shim.ts";

const { SIGKILL } = constants.signals;

/** @param killedAtNs when a stop had it killed, in nanoseconds since the epoch; undefined where none did. */
export function exitReason(record: ExitRecord, killedAtNs?: bigint): string {
  if (record.shimLost) return "Unknown";
  if (record.exitCode === 0) return "Completed";
  const killedByUs = killedAtNs !== undefined && record.exitedAtNs >= killedAtNs;
  // What a shell exits with when its child was ended by a signal.
  const signal = record.signal || (record.exitCode > 128 ? record.exitCode - 128 : 0);
  const fits = (signal === 0 || signal === SIGKILL) && !killedByUs;
  return record.oomKilled && fits ? "OOMKilled" : "Error";
}
