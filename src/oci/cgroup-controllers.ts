/** Controllers of the v2 hierarchy, which a group has when the group above it enables them for its children. */
import { join } from "node:path";
import type { CgroupFiles } from "./cgroup-files.ts";

/** The controllers that the group in this directory has. */
export function controllersOf(files: CgroupFiles, directory: string): Set<string> {
  return words(files, join(directory, "cgroup.controllers"));
}

/** The controllers that are enabled for the children of this group. */
export function controllersBelow(files: CgroupFiles, directory: string): Set<string> {
  return words(files, join(directory, "cgroup.subtree_control"));
}

/** Enables for the children of a group those of the wanted controllers that are to be had (enableable). */
export function enableControllers(files: CgroupFiles, directory: string, wanted: Iterable<string>): void {
  for (const controller of enableable(files, directory, wanted))
    enableController(files, directory, controller);
}

/**
 * Those of the wanted controllers that are to be enabled for the children of a group: it has them itself, and they are
 * not enabled yet. In a group with processes of its own none is: the kernel refuses most, and with one of the others
 * (pids, cpu) it would make the group threaded, and those below it invalid. What stays off shows when a limit needs it.
 */
export function enableable(files: CgroupFiles, directory: string, wanted: Iterable<string>): string[] {
  const available = controllersOf(files, directory);
  const enabled = controllersBelow(files, directory);
  const missing = [...wanted].filter((controller) => available.has(controller) && !enabled.has(controller));
  return missing.length === 0 || hasOwnProcesses(files, directory) ? [] : missing;
}

/** What the kernel refuses stays off. */
export function enableController(files: CgroupFiles, directory: string, controller: string): void {
  try {
    files.write(join(directory, "cgroup.subtree_control"), `+${controller}`);
  } catch {
    // See enableable.
  }
}

/** The root of all may have both; only it has no events. */
function hasOwnProcesses(files: CgroupFiles, directory: string): boolean {
  if (files.read(join(directory, "cgroup.events")) === undefined) return false;
  return Boolean(files.read(join(directory, "cgroup.procs"))?.trim());
}

function words(files: CgroupFiles, path: string): Set<string> {
  return new Set((files.read(path) ?? "").split(/\s+/).filter(Boolean));
}
