/**
 * The cgroup manager of this host: finds out the layout below the root and gives the implementation for it.
 */
import type { CgroupManager } from "./cgroup.ts";

export interface CgroupManagerOptions {
  /** Where the cgroup filesystems are mounted; "/sys/fs/cgroup" unless given. */
  root?: string;
  driver?: "cgroupfs";
}

/** @throws GantryError failed-precondition where no cgroup filesystem is found. */
export function createCgroupManager(options: CgroupManagerOptions = {}): CgroupManager {
  throw new Error(`not yet: ${options.root}`);
}
