/** The addon's part "console": fifos, and a terminal's master that arrives over a unix socket. Node has neither. */
import { addon } from "./addon.ts";

export interface ConsoleAddon {
  makeFifo(path: string, mode: number): void;
  /** A listening unix stream socket at this path; its descriptor. */
  consoleListen(path: string): number;
  /** Accepts one connection and takes the one descriptor that it brings. @throws ETIMEDOUT. */
  consoleReceive(listener: number, timeoutMs: number): number;
  /** Of a terminal, by its master. */
  setWindowSize(fd: number, columns: number, rows: number): void;
}

export const consoleAddon: ConsoleAddon = addon as ConsoleAddon;
