/**
 * Limits as a list of writes to files of a group, applied in order: once at creation, or as an update that either
 * happens as a whole or leaves the old values.
 */
import { dirname, join } from "node:path";
import { errnoCode, GantryError, type ErrorKind } from "../base/errors.ts";
import type { CgroupFiles } from "./cgroup-files.ts";

export interface CgroupWrite {
  directory: string;
  file: string;
  value: string;
  /** No such file is no error: the kernel lacks it, and the value is what holds without it. */
  optional?: boolean;
}

const KIND_OF_ERRNO: Record<string, ErrorKind> = {
  ENOENT: "failed-precondition",
  EINVAL: "invalid-argument",
  ERANGE: "invalid-argument",
  EBUSY: "failed-precondition",
  EOPNOTSUPP: "failed-precondition",
  EACCES: "permission-denied",
  EPERM: "permission-denied",
};

/** A write that failed, in words: the file, the value, and a missing controller named as such. */
function writeError(write: CgroupWrite, error: unknown): GantryError {
  const code = errnoCode(error) ?? "";
  const path = join(write.directory, write.file);
  const reason = code === "ENOENT" ? "this host has no such limit" : code;
  const message = `cgroup: write ${JSON.stringify(write.value)} to ${path}: ${reason}`;
  return new GantryError(KIND_OF_ERRNO[code] ?? "internal", message, { cause: error });
}

function applyOne(files: CgroupFiles, write: CgroupWrite): void {
  try {
    files.write(join(write.directory, write.file), write.value);
  } catch (error) {
    if (write.optional && errnoCode(error) === "ENOENT") return;
    throw writeError(write, error);
  }
}

/**
 * Applies the writes in order. A pair that the kernel accepts in one order only (cpu.cfs_period_us before or after
 * the quota) is tried in the other one when the first is refused.
 */
export function applyWrites(files: CgroupFiles, writes: readonly CgroupWrite[]): void {
  for (let index = 0; index < writes.length; index++) {
    const write = writes[index] as CgroupWrite;
    const next = writes[index + 1];
    try {
      applyOne(files, write);
    } catch (error) {
      if (write.file !== "cpu.cfs_period_us" || next?.file !== "cpu.cfs_quota_us") throw error;
      applyOne(files, next);
      applyOne(files, write);
      index += 1;
    }
  }
}

/**
 * Applies the writes, or none: what was written is put back, in reverse order, when one is refused. Files whose
 * text cannot be written back as it is read (device lists) are not restored.
 */
export function applyUpdate(files: CgroupFiles, writes: readonly CgroupWrite[]): void {
  const old: CgroupWrite[] = [];
  for (const { directory, file } of writes) {
    const text = file.startsWith("devices.") ? undefined : files.read(join(directory, file));
    if (text !== undefined) old.unshift({ directory, file, value: text.trim() });
  }
  try {
    applyWrites(files, writes);
  } catch (error) {
    // An order that raises limits cannot lower them: what is refused in the first round is tried once more.
    let pending = old;
    for (let round = 0; round < 2 && pending.length > 0; round++) {
      pending = pending.filter((write) => {
        try {
          files.write(join(write.directory, write.file), write.value);
          return false;
        } catch {
          return true;
        }
      });
    }
    throw error;
  }
}

/**
 * Makes the directory, and those missing above it down from `root`. The usual case, an existing parent, is one call.
 * @param onMade called for each new directory, from the top.
 * @returns false where the directory itself was there.
 */
export function makeDirectories(
  files: CgroupFiles,
  root: string,
  path: string,
  onMade: (directory: string) => void,
): boolean {
  const directory = join(root, path);
  try {
    let made: boolean;
    try {
      made = files.mkdir(directory);
    } catch (error) {
      const parent = dirname(path);
      if (errnoCode(error) !== "ENOENT" || parent === "/") throw error;
      makeDirectories(files, root, parent, onMade);
      made = files.mkdir(directory);
    }
    if (made) onMade(directory);
    return made;
  } catch (error) {
    if (error instanceof GantryError) throw error;
    const code = errnoCode(error) ?? "";
    throw new GantryError(KIND_OF_ERRNO[code] ?? "internal", `cgroup: make ${directory}: ${code}`, {
      cause: error,
    });
  }
}
