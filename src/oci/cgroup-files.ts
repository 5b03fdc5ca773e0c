/**
 * The file operations that cgroup code is made of, as one small interface, so that tests can stand in for the
 * kernel, which fills a new directory with files. Synchronous: each takes some microseconds, less than handing
 * it to a thread would. (The exception is `writeAside`.)
 *
 * Paths are the manager's: a root found at start and a checked path below it (checkCgroupPath). The cgroup
 * filesystems have no symbolic links.
 */
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmdirSync,
  writeSync,
} from "node:fs";
import { GantryError, errnoCode } from "../base/errors.ts";
import { getAttribute, setAttribute } from "../native/attribute.ts";
import { tryFileLock } from "../native/notify.ts";
import { readSmallFiles, type FileGroup, type FileTexts } from "../native/small-files.ts";

export interface CgroupFiles {
  /** True where it was made, false where it was there. The parent must exist. */
  mkdir(directory: string): boolean;
  rmdir(directory: string): void;
  /** Names of the directories in it. */
  children(directory: string): string[];
  /** Undefined where there is no such file, or where the group it described has gone. */
  read(path: string): string | undefined;
  /** Many files, off the main thread; each is absent when `read` would not find it. */
  readMany(groups: readonly FileGroup[], directories: readonly string[]): Promise<FileTexts>;
  /** Writes to a file that exists. */
  write(path: string, value: string): void;
  /** The same on another thread: for a limit of memory, at which the kernel may reclaim for seconds. */
  writeAside(path: string, value: string): Promise<void>;
  /** Names of the files in it. */
  names(directory: string): string[];
  /** A note of ours on the directory, which goes with it; "" for none. */
  note(directory: string): string;
  /** False where the filesystem, or the lack of a privilege, does not let it. */
  setNote(directory: string, text: string): boolean;
  /** A lock on the directory between processes, until disposed of; undefined where it is not to be had at once. */
  lock(directory: string, shared: boolean): Disposable | undefined;
}

/** Of Gantry's notes on directories. */
const NOTE = "trusted.gantry";

let buffer = Buffer.allocUnsafe(16 * 1024);

function readText(path: string): string | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (errnoCode(error) === "ENOENT" || errnoCode(error) === "ENODEV") return undefined;
    throw error;
  }
  try {
    let length = 0;
    for (;;) {
      const count = readSync(fd, buffer, length, buffer.length - length, null);
      length += count;
      // The kernel gives a short file whole: what does not fill the buffer has ended, but for files of many pids.
      if (count === 0 || (length < 2048 && count < 2048)) return buffer.toString("latin1", 0, length);
      if (length === buffer.length) buffer = Buffer.concat([buffer], buffer.length * 2);
    }
  } catch (error) {
    if (errnoCode(error) === "ENODEV") return undefined;
    throw error;
  } finally {
    closeSync(fd);
  }
}

export const kernelCgroupFiles: CgroupFiles = {
  mkdir(directory) {
    try {
      mkdirSync(directory, 0o755);
      return true;
    } catch (error) {
      if (errnoCode(error) === "EEXIST") return false;
      throw error;
    }
  },
  rmdir: (directory) => rmdirSync(directory),
  children(directory) {
    try {
      return readdirSync(directory, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map((entry) => entry.name);
    } catch (error) {
      if (errnoCode(error) === "ENOENT") return [];
      throw error;
    }
  },
  read: readText,
  readMany: readSmallFiles,
  write(path, value) {
    const fd = openSync(path, constants.O_WRONLY | constants.O_TRUNC | constants.O_NOFOLLOW);
    try {
      writeSync(fd, value);
    } finally {
      closeSync(fd);
    }
  },
  async writeAside(path, value) {
    // Not loaded with this file: it takes as long as the rest of a short command's modules.
    const { open } = process.getBuiltinModule("node:fs/promises");
    const file = await open(path, constants.O_WRONLY | constants.O_TRUNC | constants.O_NOFOLLOW);
    try {
      await file.write(value);
    } finally {
      await file.close();
    }
  },
  names(directory) {
    try {
      return readdirSync(directory);
    } catch (error) {
      if (errnoCode(error) === "ENOENT") return [];
      throw error;
    }
  },
  note: (directory) => getAttribute(directory, NOTE),
  setNote(directory, text) {
    try {
      setAttribute(directory, NOTE, text);
      return true;
    } catch {
      return false;
    }
  },
  lock(directory, shared) {
    const fd = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
    if (tryFileLock(fd, shared)) return { [Symbol.dispose]: () => closeSync(fd) };
    closeSync(fd);
    return undefined;
  },
};

/**
 * The path of a group below the root, "/" first, as it is used to build directory names.
 * @throws GantryError invalid-argument for "", "/", a relative path, and ".", ".." or NUL in it.
 */
export function checkCgroupPath(path: string): string {
  const clean = path.replace(/\/{2,}/g, "/").replace(/\/$/, "");
  const bad = !clean.startsWith("/") || clean.includes("\0") || clean.includes("\n");
  if (
    bad ||
    clean.split("/").some((part) => part === "." || part === ".." || Buffer.byteLength(part) > 255)
  ) {
    throw new GantryError(
      "invalid-argument",
      `cgroup path ${JSON.stringify(path)} is not an absolute path without dots`,
    );
  }
  return clean;
}
