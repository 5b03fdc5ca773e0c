/**
 * The cgroup manager of this host, through the cgroupfs driver: finds out the layout below the root and gives
 * the implementation for it.
 */
import { existsSync, readdirSync } from "node:fs";
import { GantryError } from "../base/errors.ts";
import { attachDeviceFilter } from "../native/device-filter.ts";
import { checkCgroupPath, kernelCgroupFiles, type CgroupFiles } from "./cgroup-files.ts";
import { findHierarchies, type Hierarchies } from "./cgroup-hierarchies.ts";
import { readGroups } from "./cgroup-stat-reader.ts";
import { V1Cgroup } from "./cgroup-v1.ts";
import { v1DetailLayout, v1StatLayout } from "./cgroup-v1-stats.ts";
import { v2DetailLayout, v2StatLayout } from "./cgroup-v2-stats.ts";
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
  const hierarchies = hierarchiesBelow(options.root ?? "/sys/fs/cgroup", files);
  const group = (path: string): V1Cgroup | V2Cgroup => {
    const checked = checkCgroupPath(path);
    return hierarchies.version === "v2"
      ? new V2Cgroup(files, hierarchies.unified as string, checked, attach)
      : new V1Cgroup(files, hierarchies, checked);
  };
  let layouts: ReturnType<typeof statLayouts> | undefined;
  const layout = (): ReturnType<typeof statLayouts> =>
    (layouts ??= statLayouts(hierarchies, hugepageSizes()));
  return {
    version: hierarchies.version,
    driver: "cgroupfs",
    async create(path: string, resources: Resources): Promise<Cgroup> {
      const made = group(path);
      made.make(resources);
      return made;
    },
    load: group,
    readStats: (paths) => readGroups(files, layout().stats, paths.map(checkCgroupPath)),
    readDetails: (paths) => readGroups(files, layout().details, paths.map(checkCgroupPath)),
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

/** Of the kernel's, found once for each root. */
const known = new Map<string, Hierarchies>();

function hierarchiesBelow(root: string, files: CgroupFiles): Hierarchies {
  if (files !== kernelCgroupFiles) return findHierarchies(root, files);
  let hierarchies = known.get(root);
  if (!hierarchies) known.set(root, (hierarchies = findHierarchies(root, files)));
  return hierarchies;
}

function statLayouts(hierarchies: Hierarchies, pageSizes: readonly string[]) {
  const { unified } = hierarchies;
  return hierarchies.version === "v2" && unified !== undefined
    ? { stats: v2StatLayout(unified), details: v2DetailLayout(unified, pageSizes) }
    : { stats: v1StatLayout(hierarchies), details: v1DetailLayout(hierarchies, pageSizes) };
}

/** Of this host, as cgroup files have them: "hugepages-2048kB" is "2MB". */
function hugepageSizes(): string[] {
  const directory = "/sys/kernel/mm/hugepages";
  if (!existsSync(directory)) return [];
  return readdirSync(directory).flatMap((name) => {
    const kib = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1]);
    if (!(kib > 0)) return [];
    return kib >= 2 ** 20 ? `${kib / 2 ** 20}GB` : kib >= 1024 ? `${kib / 1024}MB` : `${kib}KB`;
  });
}
