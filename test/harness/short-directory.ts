/**
 * A new directory of a test with a short path, as sockets are in it, from which programs can be executed. /run is the
 * first choice; Debian's initial ram disk mounts it without the right to execute.
 */
import { mkdtempSync, readFileSync } from "node:fs";

function mayExecute(mountPoint: string): boolean {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  const [, , , , , options = ""] =
    lines.findLast((line) => line.split(" ")[4] === mountPoint)?.split(" ") ?? [];
  return !options.split(",").includes("noexec");
}

const PARENT = mayExecute("/run") ? "/run" : "/tmp";

/** @param name how its own name begins. */
export function shortDirectory(name: string): string {
  return mkdtempSync(`${PARENT}/${name}-`);
}
