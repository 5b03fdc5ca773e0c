/**
 * Binding of the few mounts that the daemon itself makes on the host (a pod's /dev/shm), and what it must know of
 * mounts to recover. A container's own mounts are the executor's, in the container's mount namespace.
 */
import { readFile } from "node:fs/promises";
import { wrapError } from "../base/errors.ts";
import { decodeOctalEscapes } from "../base/octal-escape.ts";
import { addon } from "./addon.ts";

interface MountBinding {
  mountTmpfs(
    target: string,
    sizeBytes: number,
    mode: number,
    nosuid: boolean,
    nodev: boolean,
    noexec: boolean,
    uid: number,
    gid: number,
  ): Promise<void>;
  mountBind(source: string, target: string): Promise<void>;
  unmount(target: string): Promise<void>;
  isMountPoint(path: string): boolean;
}

const native = addon as MountBinding;

export interface TmpfsOptions {
  sizeBytes: number;
  /** Of its root directory: 0o1777. */
  mode: number;
  nosuid: boolean;
  nodev: boolean;
  noexec: boolean;
  /** Owner of its root directory; default 0. */
  uid?: number;
  gid?: number;
}

/** Mounts a new tmpfs on an existing directory, which may not be a symlink. */
export async function mountTmpfs(target: string, options: TmpfsOptions): Promise<void> {
  const { sizeBytes, mode, nosuid, nodev, noexec, uid = 0, gid = 0 } = options;
  try {
    await native.mountTmpfs(target, sizeBytes, mode, nosuid, nodev, noexec, uid, gid);
  } catch (error) {
    throw wrapError("mount tmpfs", error);
  }
}

/** Lets a file or directory appear at an existing other one, too, which may not be a symlink. */
export async function bindMount(source: string, target: string): Promise<void> {
  try {
    await native.mountBind(source, target);
  } catch (error) {
    throw wrapError("bind mount", error);
  }
}

/** Detaches whatever is mounted on the target, a stack of mounts included. Nothing there is no error. */
export async function unmount(target: string): Promise<void> {
  try {
    await native.unmount(target);
  } catch (error) {
    throw wrapError("unmount", error);
  }
}

/** Whether a mount stands on the path itself. A final symlink is not followed; a missing path is none. */
export function isMountPoint(path: string): boolean {
  return native.isMountPoint(path);
}

/** The mount points at or below an absolute directory, the deepest last mount first: the order to unmount them in. */
export async function listMountsBelow(directory: string): Promise<string[]> {
  return parseMountPoints(await readFile("/proc/self/mountinfo", "latin1"), directory);
}

/** The same from the text of mountinfo (proc_pid_mountinfo(5): the fifth field, with octal escapes). */
export function parseMountPoints(mountinfo: string, directory: string): string[] {
  const points: string[] = [];
  for (const line of mountinfo.split("\n")) {
    const field = line.split(" ", 5)[4];
    if (field === undefined) continue;
    const path = Buffer.from(decodeOctalEscapes(field), "latin1").toString("utf8");
    if (path === directory || path.startsWith(`${directory}/`)) points.push(path);
  }
  return points.reverse();
}
