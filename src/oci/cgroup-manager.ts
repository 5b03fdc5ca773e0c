/**
 * The cgroup manager of this host: finds out the layout below the root and gives the implementation for it. The driver
 * decides in which syntax paths are made; of either syntax are those of groups that were made before.
 */
import { existsSync, readdirSync } from "node:fs";
import { GantryError } from "../base/errors.ts";
import { attachDeviceFilter } from "../native/device-filter.ts";
import { checkCgroupPath, kernelCgroupFiles, type CgroupFiles } from "./cgroup-files.ts";
import { findHierarchies, type Hierarchies } from "./cgroup-hierarchies.ts";
import { readGroups } from "./cgroup-stat-reader.ts";
import { spawnHolder, SystemdCgroup, type SystemdDriver } from "./cgroup-systemd.ts";
import { V1Cgroup } from "./cgroup-v1.ts";
import { v1DetailLayout, v1StatLayout } from "./cgroup-v1-stats.ts";
import { v2DetailLayout, v2StatLayout } from "./cgroup-v2-stats.ts";
import { V2Cgroup, type AttachDeviceFilter } from "./cgroup-v2.ts";
import type { Cgroup, CgroupManager } from "./cgroup.ts";
import type { Resources } from "./runtime-spec.ts";
import { namesUnit, slicePath, sliceOfParent, unitGroup } from "./systemd-names.ts";
import { createSystemdUnits, type SystemdUnits } from "./systemd-units.ts";

export interface CgroupManagerOptions {
  /** Where the cgroup filesystems are mounted; "/sys/fs/cgroup" unless given. */
  root?: string;
  /** "auto": systemd where it is the first process and there is v2 alone; "cgroupfs" unless given. */
  driver?: "cgroupfs" | "systemd" | "auto";
  /** What stands before the id in the name of a container's scope; "gantry" unless given. */
  scopePrefix?: string;
  /** For tests. */
  files?: CgroupFiles;
  attachDeviceFilter?: AttachDeviceFilter;
  units?: SystemdUnits;
  spawnHolder?: SystemdDriver["spawnHolder"];
}

/** @throws GantryError failed-precondition where no cgroup filesystem is found. */
export function createCgroupManager(options: CgroupManagerOptions = {}): CgroupManager {
  const files = options.files ?? kernelCgroupFiles;
  const attach = options.attachDeviceFilter ?? attachDeviceFilter;
  const hierarchies = hierarchiesBelow(options.root ?? "/sys/fs/cgroup", files);
  const { version } = hierarchies;
  const driver = chooseDriver(options.driver ?? "cgroupfs", version);
  const byFiles = (path: string): V1Cgroup | V2Cgroup => {
    const checked = checkCgroupPath(path);
    return version === "v2"
      ? new V2Cgroup(files, hierarchies.unified as string, checked, attach)
      : new V1Cgroup(files, hierarchies, checked);
  };
  let systemd: SystemdDriver | undefined;
  const byUnit = (path: string): SystemdCgroup => {
    systemd ??= {
      version,
      units: options.units ?? createSystemdUnits(),
      holders: new Map(),
      spawnHolder: options.spawnHolder ?? spawnHolder,
    };
    const unit = unitGroup(path.startsWith("/") ? sliceOfParent(path) : path);
    return new SystemdCgroup(systemd, path, unit, byFiles(unit.path));
  };
  const isUnit = (path: string): boolean =>
    namesUnit(path) || (driver === "systemd" && path.endsWith(".slice"));
  const directoryPath = (path: string): string =>
    checkCgroupPath(namesUnit(path) ? unitGroup(path).path : path);
  let layouts: ReturnType<typeof statLayouts> | undefined;
  const layout = (): ReturnType<typeof statLayouts> =>
    (layouts ??= statLayouts(hierarchies, hugepageSizes()));
  return {
    version,
    driver,
    async create(path: string, resources: Resources): Promise<Cgroup> {
      const made = isUnit(path) ? byUnit(path) : byFiles(path);
      await made.make(resources);
      return made;
    },
    load: (path) => (isUnit(path) ? byUnit(path) : byFiles(path)),
    readStats: (paths) => readGroups(files, layout().stats, paths.map(directoryPath)),
    readDetails: (paths) => readGroups(files, layout().details, paths.map(directoryPath)),
    directoryPath,
    containerPath(cgroupParent, containerId) {
      checkName("container", containerId);
      if (driver === "systemd")
        return `${sliceOfParent(cgroupParent)}:${options.scopePrefix ?? "gantry"}:${containerId}`;
      return checkCgroupPath(`${cgroupParent === "" ? "/" : cgroupParent}/${containerId}`);
    },
    podPath(cgroupParent, podSandboxId) {
      checkName("pod sandbox", podSandboxId);
      if (driver === "cgroupfs") return `${cgroupParent}/${podSandboxId}`;
      const slice = `${sliceOfParent(cgroupParent).replace(/\.slice$/, "")}-${podSandboxId}.slice`;
      slicePath(slice);
      return slice;
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

function chooseDriver(asked: "cgroupfs" | "systemd" | "auto", version: "v1" | "v2"): "cgroupfs" | "systemd" {
  if (asked !== "auto") return asked;
  // sd_booted(3).
  return version === "v2" && existsSync("/run/systemd/system") ? "systemd" : "cgroupfs";
}

function checkName(what: string, id: string): void {
  if (!/^[A-Za-z0-9_.-]+$/.test(id))
    throw new GantryError("invalid-argument", `${what} id ${JSON.stringify(id)} cannot name a cgroup`);
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
