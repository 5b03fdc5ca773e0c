/** Controllers of the v2 hierarchy, which a group has when the group above it enables them for its children. */
import { join } from "node:path";
import type { CgroupFiles } from "./cgroup-files.ts";

/** The controllers that the group in this directory has. */
export function controllersOf(files: CgroupFiles, directory: string): Set<string> {
  return words(files, join(directory, "cgroup.controllers"));
}

/**
 * Enables for the children of a group those of the wanted controllers that it has itself. One that the kernel refuses
 * (a group with processes of its own) stays off, and shows when a limit needs it.
 */
export function enableControllers(files: CgroupFiles, directory: string, wanted: Iterable<string>): void {
  const available = controllersOf(files, directory);
  const enabled = words(files, join(directory, "cgroup.subtree_control"));
  for (const controller of wanted) {
    if (!available.has(controller) || enabled.has(controller)) continue;
    try {
      files.write(join(directory, "cgroup.subtree_control"), `+${controller}`);
    } catch {
      // See above.
    }
  }
}

function words(files: CgroupFiles, path: string): Set<string> {
  return new Set((files.read(path) ?? "").split(/\s+/));
}
