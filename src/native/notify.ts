/**
 * The addon's part "notify": a datagram to the service manager, file locks, the limit of open files, and an end that
 * waits for nothing. Node offers none of them.
 */
import { addon } from "./addon.ts";

const addonPart = addon as {
  notifySend: (path: string, message: string) => void;
  tryLock: (fd: number, shared: boolean) => boolean;
  openFilesLimit: (soft: number) => void;
  endProcess: (status: number) => never;
};

/**
 * Sends one state message ("READY=1") to the socket that NOTIFY_SOCKET names (sd_notify(3)). Never waits.
 *
 * @param path an absolute path, or "@name" for an abstract socket.
 * @throws Error with `code` when nobody listens there.
 */
export function sendNotify(path: string, message: string): void {
  addonPart.notifySend(path, message);
}

/**
 * Takes a flock(2) on an open file, exclusive unless shared. It goes with the descriptor, so also with a process that is
 * killed.
 *
 * @returns false where another holder keeps it from being taken.
 */
export function tryFileLock(fd: number, shared = false): boolean {
  return addonPart.tryLock(fd, shared);
}

/** Sets this process's soft limit of open files, which its children inherit; never above the hard one. */
export function setOpenFilesLimit(soft: number): void {
  addonPart.openFilesLimit(soft);
}

/**
 * Ends the process at once, with _exit(2). No exit handler runs and nothing is flushed, so what is to last must be
 * written before. Standard streams block again that did before Node wrote to them.
 *
 * process.exit() waits for the engine's own threads, and has been seen to wait for ever: one of them compiled and
 * waited for a garbage collection that the exiting thread no longer makes (nodejs/node issue 54918). A daemon that
 * hangs there holds its locks, and no other can start.
 */
export function endProcess(status: number): never {
  return addonPart.endProcess(status);
}
