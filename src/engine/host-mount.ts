/**
 * What a mount of a host path needs of the host: that the path is there, that what is mounted on /proc is procfs, and
 * that propagation has something to propagate from.
 */
import { readFile, realpath, statfs } from "node:fs/promises";
import { posix } from "node:path";
import { errnoCode, GantryError, wrapError } from "../base/errors.ts";
import { decodeOctalEscapes } from "../base/octal-escape.ts";
import type { ContainerMount } from "./container.ts";

const PROC_SUPER_MAGIC = 0x9fa0;

/**
 * The path to bind: symbolic links are followed; what does not exist is not created.
 * @throws not-found for a path that does not exist, failed-precondition for one that cannot be mounted as asked.
 */
export async function hostMountSource(mount: ContainerMount): Promise<string> {
  const what = `mount "${mount.containerPath}": host path "${mount.hostPath}"`;
  let source: string;
  try {
    source = await realpath(mount.hostPath);
  } catch (error) {
    if (errnoCode(error) === "ENOENT")
      throw new GantryError("not-found", `${what} does not exist`, { cause: error });
    throw wrapError(what, error, "failed-precondition");
  }
  if (posix.normalize(`${mount.containerPath}/`) === "/proc/" && !(await isProcfsRoot(source)))
    throw new GantryError("failed-precondition", `${what} is no procfs, and cannot be mounted on /proc`);
  if (mount.propagation !== "private") await requirePropagation(mount, source, what);
  return source;
}

async function isProcfsRoot(path: string): Promise<boolean> {
  const { type } = await statfs(path);
  return (
    type === PROC_SUPER_MAGIC && (await readFile(`${path}/self/stat`).catch(() => undefined)) !== undefined
  );
}

/** A mount that is not shared on the host has no peers that mounts could come from or go to. */
async function requirePropagation(mount: ContainerMount, source: string, what: string): Promise<void> {
  const found = mountOf(source, await readFile("/proc/self/mountinfo", "utf8"));
  const shared = found?.fields.some((field) => field.startsWith("shared:")) ?? false;
  const slave = found?.fields.some((field) => field.startsWith("master:")) ?? false;
  const enough = mount.propagation === "bidirectional" ? shared : shared || slave;
  if (enough) return;
  const needed = mount.propagation === "bidirectional" ? "a shared mount" : "a shared or slave mount";
  throw new GantryError(
    "failed-precondition",
    `${what} is on the mount "${found?.place ?? "?"}", which is not ${needed}, as ${mount.propagation} propagation needs`,
  );
}

interface MountInfo {
  place: string;
  /** Optional fields: "shared:1", "master:2". */
  fields: string[];
}

/** The mount that a path without symbolic links is on: the deepest place above it, the last mount on it. See proc_pid_mountinfo(5). */
export function mountOf(path: string, mountinfo: string): MountInfo | undefined {
  let found: MountInfo | undefined;
  for (const line of mountinfo.split("\n")) {
    const columns = line.split(" ");
    const escaped = columns[4];
    if (escaped === undefined) continue;
    const place = decodeOctalEscapes(escaped);
    const above = place === "/" || path === place || path.startsWith(`${place}/`);
    if (!above || place.length < (found?.place.length ?? 0)) continue;
    found = { place, fields: columns.slice(6, columns.indexOf("-", 6)) };
  }
  return found;
}
