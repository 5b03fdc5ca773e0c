/**
 * The addon's part "notify": a datagram to the service manager, and file locks. Node offers neither.
 */
import { addon } from "./addon.ts";

const { notifySend, tryLock } = addon as {
  notifySend: (path: string, message: string) => void;
  tryLock: (fd: number) => boolean;
};

/**
 * Sends one state message ("READY=1") to the socket that NOTIFY_SOCKET names (sd_notify(3)). Never waits.
 *
 * @param path an absolute path, or "@name" for an abstract socket.
 * @throws Error with `code` when nobody listens there.
 */
export function sendNotify(path: string, message: string): void {
  notifySend(path, message);
}

/**
 * Takes an exclusive flock(2) on an open file. It goes with the descriptor, so also with a process that is killed.
 *
 * @returns false where another holder has it.
 */
export function tryFileLock(fd: number): boolean {
  return tryLock(fd);
}
