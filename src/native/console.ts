/** The addon's part "console": pipes, fifos, and a terminal's master that arrives over a unix socket. Node has none. */
import { addon } from "./addon.ts";

export interface ConsoleAddon {
  makeFifo(path: string, mode: number): void;
  /** A pipe (Node's own are sockets, which cannot be opened by /dev/stdin): the end to read and the end to write. */
  makePipe(): [number, number];
  /** A listening unix stream socket at this path; its descriptor. */
  consoleListen(path: string): number;
  /** Accepts one connection and takes the one descriptor that it brings. @throws ETIMEDOUT. */
  consoleReceive(listener: number, timeoutMs: number): number;
  /** Of a terminal, by its master. */
  setWindowSize(fd: number, columns: number, rows: number): void;
  /**
   * Writes without waiting for room: how many bytes were taken, perhaps none. A read that begins to wait at that moment
   * on another thread fails with EAGAIN.
   */
  writeNow(fd: number, bytes: Uint8Array): number;
}

export const consoleAddon: ConsoleAddon = addon as ConsoleAddon;
