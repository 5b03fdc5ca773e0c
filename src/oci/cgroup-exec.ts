/**
 * Where a further process of a container enters the v2 hierarchy. A group that has given controllers to groups below it
 * takes no process of its own (the kernel's "no internal processes"); so it is when an init system in the container has
 * made groups there and moved into one. The new process then goes where the first one is.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { CgroupFiles } from "./cgroup-files.ts";

/** @param path of the container's group below the hierarchy's root. @param initPid of its first process. */
export function execDirectory(files: CgroupFiles, root: string, path: string, initPid: number): string {
  const own = join(root, path);
  if (!files.read(join(own, "cgroup.subtree_control"))?.trim()) return own;
  let text: string;
  try {
    text = readFileSync(`/proc/${initPid}/cgroup`, "utf8");
  } catch {
    return own;
  }
  const now = /^0::(.*)$/m.exec(text)?.[1] ?? "";
  return now.startsWith(`${path}/`) && !now.includes("/../") && !now.endsWith("/..") ? join(root, now) : own;
}
