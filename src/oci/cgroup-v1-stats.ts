/** One reading of a v1 group's counters. */
import { join } from "node:path";
import type { CgroupFiles } from "./cgroup-files.ts";
import { limitOf, nowNs, statField } from "./cgroup-stat-text.ts";
import type { CgroupStats } from "./cgroup.ts";

/** @param directory the group's directory in a controller's hierarchy; undefined where there is none. */
export function v1Stats(
  files: CgroupFiles,
  directory: (controller: string) => string | undefined,
): CgroupStats {
  const read = (controller: string, file: string): string => {
    const parent = directory(controller);
    return (parent === undefined ? undefined : files.read(join(parent, file))) ?? "";
  };
  const timestampNs = nowNs();
  const memoryStat = read("memory", "memory.stat");
  const usage = Number(read("memory", "memory.usage_in_bytes"));
  const memoryLimit = limitOf(read("memory", "memory.limit_in_bytes"));
  const memswLimit = limitOf(read("memory", "memory.memsw.limit_in_bytes"));
  const stats: CgroupStats = {
    timestampNs,
    cpuUsageNs: BigInt(read("cpuacct", "cpuacct.usage").trim() || 0),
    memoryUsageBytes: usage,
    memoryWorkingSetBytes: Math.max(0, usage - statField(memoryStat, "total_inactive_file")),
    memoryRssBytes: statField(memoryStat, "total_rss"),
    memoryPageFaults: statField(memoryStat, "total_pgfault"),
    memoryMajorPageFaults: statField(memoryStat, "total_pgmajfault"),
    swapUsageBytes: statField(memoryStat, "total_swap"),
    pids: Number(read("pids", "pids.current")),
    oomKills: statField(read("memory", "memory.oom_control"), "oom_kill"),
  };
  if (memoryLimit !== undefined) stats.memoryLimitBytes = memoryLimit;
  if (memswLimit !== undefined && memoryLimit !== undefined)
    stats.swapLimitBytes = Math.max(0, memswLimit - memoryLimit);
  return stats;
}
