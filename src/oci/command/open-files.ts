/**
 * The soft limit of open files that this command was started with. Node raises its own to the hard limit, and a process
 * that is given no limit would inherit that: programs that walk through all descriptors up to the limit, or reserve for
 * them, then take minutes or gigabytes.
 */
import { setOpenFilesLimit } from "../../native/notify.ts";

/** What this command needs to run at all. */
const LEAST = 64;

/**
 * Has containers, hooks and all others that are started from here on inherit it.
 * @param environment GANTRY_OPEN_FILES is the limit, as bin/gantry-oci says; it is taken out. Without it nothing changes,
 *   nor where there is none ("unlimited").
 */
export function restoreOpenFiles(
  environment: NodeJS.ProcessEnv = process.env,
  set: (soft: number) => void = setOpenFilesLimit,
): void {
  const before = environment["GANTRY_OPEN_FILES"] ?? "";
  delete environment["GANTRY_OPEN_FILES"];
  if (/^\d{1,9}$/.test(before)) set(Math.max(Number(before), LEAST));
}
