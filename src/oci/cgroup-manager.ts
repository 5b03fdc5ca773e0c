/**
 * The cgroup manager of this host, through the cgroupfs driver: finds out the layout below the root and gives
 * the implementation for it.
 */
import { GantryError } from "../base/errors.ts";
import { attachDeviceFilter } from "../native/device-filter.ts";
import { checkCgroupPath, kernelCgroupFiles, type CgroupFiles } from "./cgroup-files.ts";
import { findHierarchies } from "./cgroup-hierarchies.ts";
import { V1Cgroup } from "./cgroup-v1.ts";
import { V2Cgroup, type AttachDeviceFilter } from "./cgroup-v2.ts";
import type { Cgroup, CgroupManager } from "./cgroup.ts";
import type { Resources } from "./runtime-spec.ts";

export interface CgroupManagerOptions {
  /** Where the cgroup filesystems are mounted; "/sys/fs/cgroup" unless given. */
  root?: string;
  driver?: "cgroupfs";
  /** For tests. */
  files?: CgroupFiles;
  attachDeviceFilter?: AttachDeviceFilter;
}

/** @throws GantryError failed-precondition where no cgroup filesystem is found. */
export function createCgroupManager(options: CgroupManagerOptions = {}): CgroupManager {
  const files = options.files ?? kernelCgroupFiles;
  const attach = options.attachDeviceFilter ?? attachDeviceFilter;
  const hierarchies = findHierarchies(options.root ?? "/sys/fs/cgroup", files);
  const group = (path: string): V1Cgroup | V2Cgroup => {
    const checked = checkCgroupPath(path);
    return hierarchies.version === "v2"
      ? new V2Cgroup(files, hierarchies.unified as string, checked, attach)
      : new V1Cgroup(files, hierarchies, checked);
  };
  return {
    version: hierarchies.version,
    driver: "cgroupfs",
    async create(path: string, resources: Resources): Promise<Cgroup> {
      const made = group(path);
      made.make(resources);
      return made;
    },
    load: group,
    containerPath(cgroupParent: string, containerId: string): string {
      if (!/^[A-Za-z0-9_.-]+$/.test(containerId)) {
        throw new GantryError(
          "invalid-argument",
          `container id ${JSON.stringify(containerId)} cannot name a cgroup`,
        );
      }
      return checkCgroupPath(`${cgroupParent === "" ? "/" : cgroupParent}/${containerId}`);
    },
  };
}
