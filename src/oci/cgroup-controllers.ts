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

/**
 * Enables for the children of a group those of the wanted controllers that it has itself. In a group with processes of
 * its own none is: the kernel refuses most, and with one of the others (pids, cpu) it would make the group threaded, and
 * those below it invalid. What stays off shows when a limit needs it.
 */
export function enableControllers(files: CgroupFiles, directory: string, wanted: Iterable<string>): void {
  const available = controllersOf(files, directory);
  const enabled = controllersBelow(files, directory);
  const missing = [...wanted].filter((controller) => available.has(controller) && !enabled.has(controller));
  if (missing.length === 0 || hasOwnProcesses(files, directory)) return;
  for (const controller of missing) enableController(files, directory, controller);
}

/** What the kernel refuses stays off. */
export function enableController(files: CgroupFiles, directory: string, controller: string): void {
  try {
    files.write(join(directory, "cgroup.subtree_control"), `+${controller}`);
  } catch {
    // See enableControllers.
  }
}

/** The root of all may have both; only it has no events. */
export function hasOwnProcesses(files: CgroupFiles, directory: string): boolean {
  if (files.read(join(directory, "cgroup.events")) === undefined) return false;
  return Boolean(files.read(join(directory, "cgroup.procs"))?.trim());
}

function words(files: CgroupFiles, path: string): Set<string> {
  return new Set((files.read(path) ?? "").split(/\s+/).filter(Boolean));
}
