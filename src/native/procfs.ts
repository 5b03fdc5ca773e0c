/**
 * Files below /proc, opened through a descriptor that is the root of the kernel's own procfs, and through nothing that is
 * mounted in it (the class of CVE-2025-52881). Descriptors are the caller's, for node:fs.
 */
import { addon } from "./addon.ts";

export interface ProcfsAddon {
  /**
   * @param directory a descriptor that was opened here; -1 for the root of procfs.
   * @param path below it, without magic links.
   * @param flags O_*, of node:fs's constants.
   * @throws an Error with its code: ENOTSUP where /proc is something else, EXDEV where something is mounted on the path.
   */
  procfsOpen(directory: number, path: string, flags: number): number;
}

export const procfsAddon: ProcfsAddon = addon as ProcfsAddon;
