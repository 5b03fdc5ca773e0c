/**
 * Limits as a list of writes to files of a group, applied in order: once at creation, or as an update that either
 * happens as a whole or leaves the old values.
 */
import { dirname, join } from "node:path";
import { errnoCode, errorMessage, GantryError, wrapError, type ErrorKind } from "../base/errors.ts";
import type { CgroupFiles } from "./cgroup-files.ts";
import type { UndoUpdate } from "./cgroup.ts";

export interface CgroupWrite {
  directory: string;
  file: string;
  value: string;
  /** No such file is no error: the kernel lacks it, and the value is what holds without it. */
  optional?: boolean;
  /** Of a file with a line for each device: takes the value away again where there was none for this device. */
  undo?: string;
}

const KIND_OF_ERRNO: Record<string, ErrorKind> = {
  ENOENT: "failed-precondition",
  EINVAL: "invalid-argument",
  ERANGE: "invalid-argument",
  EBUSY: "failed-precondition",
  // EOPNOTSUPP, as Node calls it.
  ENOTSUP: "failed-precondition",
  EACCES: "permission-denied",
  EPERM: "permission-denied",
};

/** A write that failed, in words: the file, the value, and the usual reasons named as such. */
function writeError(files: CgroupFiles, write: CgroupWrite, error: unknown): GantryError {
  const code = errnoCode(error) ?? "";
  const path = join(write.directory, write.file);
  const { kind, reason } = explain(files, write, code);
  const message = `cgroup: write ${JSON.stringify(write.value)} to ${path}: ${reason}`;
  return new GantryError(kind, message, { cause: error });
}

function explain(
  files: CgroupFiles,
  { directory, file }: CgroupWrite,
  code: string,
): { kind: ErrorKind; reason: string } {
  const kind = KIND_OF_ERRNO[code] ?? "internal";
  if (["ENOENT", "ENODEV"].includes(code) && files.read(join(directory, "cgroup.procs")) === undefined)
    return { kind: "not-found", reason: "the group has gone" };
  if (code === "ENOENT") return { kind, reason: whyAbsent(files, directory, file) };
  if (code === "ENODEV") return { kind: "failed-precondition", reason: "there is no such device (ENODEV)" };
  if (code === "EBUSY" && /^memory\.(memsw\.)?limit_in_bytes$/.test(file)) {
    const usage = files.read(join(directory, file.replace("limit", "usage")))?.trim() ?? "more";
    return { kind, reason: `${usage} bytes are in use (EBUSY)` };
  }
  if (code === "EACCES" && file.startsWith("cpuset."))
    return { kind: "failed-precondition", reason: "the group above it has not all of them (EACCES)" };
  return { kind, reason: code };
}

/** On v2 a file may be missing because its controller is not enabled for the group. */
function whyAbsent(files: CgroupFiles, directory: string, file: string): string {
  const controllers = files.read(join(directory, "cgroup.controllers"))?.split(/\s+/);
  const controller = file.slice(0, file.indexOf("."));
  const known = ["cpu", "cpuset", "io", "memory", "pids", "hugetlb", "rdma", "misc"].includes(controller);
  if (!controllers || !known || controllers.includes(controller)) return "this host has no such limit";
  let above = dirname(directory);
  while (files.read(join(above, "cgroup.controllers"))?.split(/\s+/).includes(controller) === false)
    above = dirname(above);
  if (files.read(join(above, "cgroup.controllers")) === undefined)
    return `this host has no ${controller} controller`;
  const reason = files.read(join(above, "cgroup.procs"))?.trim() ? ", which has processes of its own" : "";
  return `the ${controller} controller is not enabled below ${above}${reason}`;
}

function applyOne(files: CgroupFiles, write: CgroupWrite): void {
  try {
    files.write(join(write.directory, write.file), write.value);
  } catch (error) {
    if (write.optional && errnoCode(error) === "ENOENT") return;
    throw writeError(files, write, error);
  }
}

/** Each must fit to the others at every moment, so that which comes first depends on what they are now. */
const BANDWIDTH = /^cpu\.(cfs_(period|quota|burst)_us|max(\.burst)?)$/;

/**
 * Applies the writes in order. Those of the processors' bandwidth, which stand together, are applied in whatever order
 * the kernel takes them.
 */
export function applyWrites(files: CgroupFiles, writes: readonly CgroupWrite[]): void {
  for (let index = 0; index < writes.length;) {
    const rest = writes.slice(index);
    const count = rest.findIndex(({ file }) => !BANDWIDTH.test(file));
    const group = rest.slice(0, count < 0 ? rest.length : Math.max(count, 1));
    applyInAnyOrder(files, group);
    index += group.length;
  }
}

function applyInAnyOrder(files: CgroupFiles, writes: readonly CgroupWrite[]): void {
  let left = writes;
  for (;;) {
    const refused: CgroupWrite[] = [];
    let failure: unknown;
    for (const write of left) {
      try {
        applyOne(files, write);
      } catch (error) {
        failure ??= error;
        refused.push(write);
      }
    }
    if (refused.length === 0) return;
    if (refused.length === left.length) throw failure;
    left = refused;
  }
}

/**
 * Applies the writes, or none: what was written is put back, in reverse order, when one is refused. Files whose
 * text cannot be written back as it is read (device lists) are not restored.
 * @returns what puts the old values back later.
 */
export async function applyUpdate(files: CgroupFiles, writes: readonly CgroupWrite[]): Promise<UndoUpdate> {
  const old: CgroupWrite[] = [];
  for (const write of writes) {
    const { directory, file } = write;
    const text = file.startsWith("devices.") ? undefined : files.read(join(directory, file));
    if (text !== undefined) old.unshift({ ...write, value: oldValue(text, write) });
  }
  try {
    let quick: CgroupWrite[] = [];
    for (const write of writes) {
      if (!write.file.startsWith("memory.")) {
        quick.push(write);
        continue;
      }
      applyWrites(files, quick);
      quick = [];
      await applyAside(files, write);
    }
    applyWrites(files, quick);
  } catch (error) {
    try {
      await restore(files, old);
    } catch (lost) {
      throw wrapError(`${errorMessage(error)}; then`, lost);
    }
    throw error;
  }
  return () => restore(files, old);
}

/** The whole of a file; of one by device its line, or what takes the new one away. */
function oldValue(text: string, { value, undo }: CgroupWrite): string {
  if (undo === undefined) return text.trim();
  const device = `${value.split(" ")[0]} `;
  return text.split("\n").find((line) => line.startsWith(device)) ?? undo;
}

async function applyAside(files: CgroupFiles, write: CgroupWrite): Promise<void> {
  try {
    await files.writeAside(join(write.directory, write.file), write.value);
  } catch (error) {
    if (write.optional && errnoCode(error) === "ENOENT") return;
    throw writeError(files, write, error);
  }
}

/** An order that raises limits cannot lower them: what is refused in the first round is tried once more. */
async function restore(files: CgroupFiles, old: readonly CgroupWrite[]): Promise<void> {
  let pending = [...old];
  for (let round = 0; round < 2 && pending.length > 0; round++) {
    const refused: CgroupWrite[] = [];
    for (const write of pending) if (!(await putBack(files, write))) refused.push(write);
    pending = refused;
  }
  if (pending.length > 0) {
    const names = pending.map(({ directory, file }) => join(directory, file));
    throw new GantryError("internal", `cgroup: the old values of ${names.join(", ")} could not be put back`);
  }
}

/** True where the old value holds. A file of several lines takes one line at a time. */
async function putBack(files: CgroupFiles, write: CgroupWrite): Promise<boolean> {
  const { directory, file, value } = write;
  const path = join(directory, file);
  const holds = (): boolean => {
    const text = files.read(path);
    return text === undefined || oldValue(text, write) === value;
  };
  if (holds()) return true;
  try {
    // A write without any byte would not reach the kernel.
    for (const line of value.split("\n")) await files.writeAside(path, line === "" ? "\n" : line);
    return true;
  } catch {
    return holds();
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
  patience = 3,
): boolean {
  const directory = join(root, path);
  try {
    let made: boolean;
    try {
      made = files.mkdir(directory);
    } catch (error) {
      const parent = dirname(path);
      if (errnoCode(error) !== "ENOENT" || parent === "/" || patience === 0) throw error;
      makeDirectories(files, root, parent, onMade);
      // Whoever else tidies up there (systemd, on v1) may have taken the empty one above away again.
      made = makeDirectories(files, root, path, () => undefined, patience - 1);
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
