/**
 * The counters of a container as `events` prints them: names, nesting and units are those that engines know from runc.
 * A field that would be 0 is left out where they expect that. v1 and v2 fill the same shape from their files.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { GantryError } from "../../base/errors.ts";
import { kernelCgroupFiles } from "../cgroup-files.ts";
import { createCgroupManager } from "../cgroup-manager.ts";
import { statsOfV1 } from "./event-stats-v1.ts";
import { statsOfV2 } from "./event-stats-v2.ts";
import { groupDirectories } from "./group-directories.ts";

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

/** @param cgroupPath as it is stored. @throws GantryError not-found where there is no such group. */
export function eventStats(cgroupPath: string): Shape {
  const files = kernelCgroupFiles;
  const { version, v1, unified } = groupDirectories(cgroupPath);
  const read: ReadStat = (controller, file) => {
    const directory =
      version === "v2" ? unified : v1.find(({ controllers }) => controllers.includes(controller))?.directory;
    return directory === undefined ? undefined : files.read(join(directory, file));
  };
  const directory = unified ?? v1[0]?.directory ?? "";
  if (files.read(join(directory, "cgroup.procs")) === undefined)
    throw new GantryError("not-found", `cgroup ${cgroupPath} does not exist`);
  return version === "v2" ? statsOfV2(read, hugepageSizes()) : statsOfV1(read, hugepageSizes());
}

/** How often the OOM killer has killed a process of the group; 0 where that is not counted. */
export function oomKills(cgroupPath: string): number {
  const cgroup = createCgroupManager().load(cgroupPath);
  const directory = cgroup.memoryDirectory();
  if (directory === undefined) return 0;
  const read = (file: string): string | undefined => kernelCgroupFiles.read(join(directory, file));
  const text = read("memory.events") ?? read("memory.oom_control") ?? "";
  return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0);
}
