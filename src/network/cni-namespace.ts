/**
 * The name by which plugins know a pod's network namespace: "/run/netns/gantry-POD", where agents of networks look that
 * run in containers and have this directory mounted. A second mount of what the engine has pinned, with a life of its
 * own: it goes when the last plugin has detached the pod, since several learn from the namespace what to take back.
 */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { bindMount, unmount } from "../native/mount.ts";
import { getNamespaceInode } from "../native/namespace.ts";

/** The path; nothing is made yet. */
export function publishedNamespace(directory: string, podSandboxId: string): string {
  return join(directory, `gantry-${podSandboxId}`);
}

/** Makes it. What is there when it rejects, `withdrawNamespace` removes. */
export async function publishNamespace(netnsPath: string, published: string): Promise<void> {
  await mkdir(dirname(published), { recursive: true, mode: 0o755 });
  await writeFile(published, "", { mode: 0o444 });
  await bindMount(netnsPath, published);
}

/** Removes it; what is gone is no error. */
export async function withdrawNamespace(published: string): Promise<void> {
  await unmount(published);
  await rm(published, { force: true });
}

/** The path, or empty where there is no namespace any more, as the specification has it for DEL. */
export function presentNamespace(path: string): string {
  try {
    getNamespaceInode(path);
    return path;
  } catch {
    return "";
  }
}
