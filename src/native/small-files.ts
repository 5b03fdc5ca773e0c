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

/** Files of one directory. Names have no slash at their end, and the directory may be missing. */
export interface FileGroup {
  directory: string;
  names: readonly string[];
}

/** Also what a cgroup answers that is being deleted, a process that has ended, and a pressure file that is off. */
const ABSENT = new Set(["ENOENT", "ENODEV", "ENOTDIR", "ESRCH", "EOPNOTSUPP", "EACCES", "EINVAL", "EPERM"]);

/**
 * The texts of the files, in the order of the request; undefined for those that are not there.
 *
 * @throws GantryError resource-exhausted without descriptors or memory.
 */
export async function readSmallFiles(groups: readonly FileGroup[]): Promise<(string | undefined)[]> {
  const words: string[] = [];
  let count = 0;
  for (const { directory, names } of groups) {
    words.push(`${directory}/`, ...names);
    count += names.length;
  }
  const reply = await native.smallFilesRead(Buffer.from(`${words.join("\0")}\0`));
  const texts: (string | undefined)[] = [];
  for (let at = 0, n = 0; n < count; n++) {
    const length = reply.readInt32LE(at);
    at += 4;
    if (length < 0) {
      const code = getSystemErrorName(length);
      if (!ABSENT.has(code)) throw new GantryError("resource-exhausted", `read many files: ${code}`);
      texts.push(undefined);
      continue;
    }
    texts.push(reply.toString("latin1", at, at + length));
    at += length;
  }
  return texts;
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
