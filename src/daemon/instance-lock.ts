/**
 * One daemon for each root and each state directory: an flock(2) on a file in it.
 *
 * The lock goes with the process, however it dies, so there is no stale one; the pid in the file only serves the
 * message. The file stays, as deleting it would let two daemons lock two files of one name.
 */
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync, constants } from "node:fs";
import { join } from "node:path";
import { GantryError } from "../base/errors.ts";
import { tryFileLock } from "../native/notify.ts";

export interface InstanceLock {
  release(): void;
}

/** @throws GantryError failed-precondition, naming the pid, while another process holds the directory. */
export function lockDirectory(directory: string): InstanceLock {
  const path = join(directory, "gantryd.lock");
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  if (!tryFileLock(fd)) {
    closeSync(fd);
    const pid = readFileSync(path, "utf8").trim();
    throw new GantryError(
      "failed-precondition",
      `${directory} is in use by another gantryd${pid && ` (pid ${pid})`}`,
    );
  }
  ftruncateSync(fd);
  writeSync(fd, `${process.pid}\n`, 0);
  return { release: () => closeSync(fd) };
}
