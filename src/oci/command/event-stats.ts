/**
 * The counters of a container as `events` prints them: names, nesting and units are those that engines know from runc.
 * A field that would be 0 is left out where they expect that. v1 and v2 fill the same shape from their files.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { GantryError } from "../../base/errors.ts";
import { kernelCgroupFiles } from "../cgroup-files.ts";
import { findHierarchies } from "../cgroup-hierarchies.ts";
import { statsOfV1 } from "./event-stats-v1.ts";
import { statsOfV2 } from "./event-stats-v2.ts";

/** As large as the kernel's counters are: a bigint beyond 2^53. */
export type Counter = number | bigint;
/** JSON, with integers as they are. */
export type Shape = { [name: string]: Counter | string | Shape | (Counter | string | Shape)[] | null };

/** The text of a file of the group by the controller that has it; undefined where there is none. */
export type ReadStat = (controller: string, file: string) => string | undefined;

/** Of huge pages, as cgroup files have them: "2MB". */
function hugepageSizes(): string[] {
  try {
    return readdirSync("/sys/kernel/mm/hugepages").flatMap((name) => {
      const kib = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1]);
      if (!(kib > 0)) return [];
      return kib >= 2 ** 20 ? `${kib / 2 ** 20}GB` : kib >= 1024 ? `${kib / 1024}MB` : `${kib}KB`;
    });
  } catch {
    return [];
  }
}

/** @param path of the group. @throws GantryError not-found where there is no such group. */
export function eventStats(path: string, root = "/sys/fs/cgroup"): Shape {
  const files = kernelCgroupFiles;
  const hierarchies = findHierarchies(root, files);
  const directoryOf = (controller: string): string | undefined =>
    hierarchies.version === "v2" ? hierarchies.unified : hierarchies.v1.get(controller);
  const read: ReadStat = (controller, file) => {
    const directory = directoryOf(controller);
    return directory === undefined ? undefined : files.read(join(directory, path, file));
  };
  const listing = hierarchies.unified ?? hierarchies.v1Roots[0] ?? root;
  if (files.read(join(listing, path, "cgroup.procs")) === undefined)
    throw new GantryError("not-found", `cgroup ${path} does not exist`);
  return hierarchies.version === "v2" ? statsOfV2(read, hugepageSizes()) : statsOfV1(read, hugepageSizes());
}

/** How often the OOM killer has killed a process of the group; 0 where that is not counted. */
export function oomKills(path: string, root = "/sys/fs/cgroup"): number {
  const files = kernelCgroupFiles;
  const hierarchies = findHierarchies(root, files);
  const v1 = hierarchies.v1.get("memory");
  const file =
    v1 !== undefined
      ? join(v1, path, "memory.oom_control")
      : join(hierarchies.unified ?? root, path, "memory.events");
  return Number(/^oom_kill (\d+)$/m.exec(files.read(file) ?? "")?.[1] ?? 0);
}
