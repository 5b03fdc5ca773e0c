/**
 * Binding of the addon's reader of small files: what the kernel tells in cgroups and in /proc, hundreds of files in one
 * job on a thread of its own. A file costs some two microseconds there, ten times less than through node:fs, and the
 * event loop goes on meanwhile. Not for files that anyone but the kernel writes.
 */
import { getSystemErrorName } from "node:util";
import { GantryError } from "../base/errors.ts";
import { addon } from "./addon.ts";

const native = addon as {
  smallFilesRead(request: Uint8Array): Promise<Buffer>;
  descriptorsCount(pids: Uint8Array): Promise<Buffer>;
};

/** Which files are read of each directory, by a root that the directories are below. */
export interface FileGroup {
  root: string;
  names: readonly string[];
}

/**
 * What ends the whole reading. Any other error is of one file, which then counts as absent: a cgroup that is being deleted,
 * a process that has ended, a pressure file that was turned off.
 */
const FATAL = new Set(["EMFILE", "ENFILE", "ENOMEM"]);

/**
 * The text of the file at this position, undefined where it is not there. Files are counted through the groups of the
 * first directory, then those of the second. It is decoded when asked for.
 */
export type FileTexts = (index: number) => string | undefined;

/**
 * Reads the files of every group in every directory.
 *
 * @param directories below each of the roots; some need not exist.
 * @throws GantryError resource-exhausted without descriptors or memory.
 */
export async function readSmallFiles(
  groups: readonly FileGroup[],
  directories: readonly string[],
): Promise<FileTexts> {
  const layout = groups.map(({ root, names }) => [root, ...names, "", ""].join("\0"));
  const reply = await native.smallFilesRead(Buffer.from(`${layout.join("")}\0${directories.join("\0")}\0\0`));
  const count = directories.length * groups.reduce((sum, { names }) => sum + names.length, 0);
  const ends = new Int32Array(count);
  const starts = new Int32Array(count);
  for (let at = 0, n = 0; n < count; n++) {
    const length = reply.readInt32LE(at);
    if (length < 0) {
      const code = getSystemErrorName(length);
      if (FATAL.has(code)) throw new GantryError("resource-exhausted", `read many files: ${code}`);
      starts[n] = -1;
    } else {
      starts[n] = at + 4;
    }
    at += 4 + Math.max(0, length);
    ends[n] = at;
  }
  return (index) => {
    const start = starts[index] ?? -1;
    return start < 0 ? undefined : reply.toString("latin1", start, ends[index]);
  };
}

export interface DescriptorCount {
  descriptors: number;
  sockets: number;
}

/** Open descriptors of each process; zero for one that has ended. */
export async function countDescriptors(pids: readonly number[]): Promise<DescriptorCount[]> {
  const request = Int32Array.from(pids);
  const reply = await native.descriptorsCount(new Uint8Array(request.buffer));
  return pids.map((_, index) => ({
    descriptors: reply.readUInt32LE(index * 8),
    sockets: reply.readUInt32LE(index * 8 + 4),
  }));
}
