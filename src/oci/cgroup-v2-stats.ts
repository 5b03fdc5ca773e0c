/** The counters of v2 groups. */
import { deviceLines, limitOf, lineCount, numberOf, statField } from "./cgroup-stat-text.ts";
import type { StatLayout, StatTexts } from "./cgroup-stat-reader.ts";
import { pressures } from "./cgroup-v1-stats.ts";
import type { CgroupDetails, CgroupStats, DeviceIo } from "./cgroup.ts";

const FILES = [
  "cgroup.procs",
  "cpu.stat",
  "memory.current",
  "memory.stat",
  "memory.max",
  "memory.swap.current",
  "memory.swap.max",
  "pids.current",
  "cpu.pressure",
  "memory.pressure",
  "io.pressure",
];

/** The few files of CgroupStats. */
export function v2StatLayout(root: string): StatLayout<CgroupStats> {
  return { files: [{ root, names: FILES }], parse: v2Stats };
}

/** The files of CgroupDetails. @param pageSizes of huge pages, "2MB". */
export function v2DetailLayout(root: string, pageSizes: readonly string[]): StatLayout<CgroupDetails> {
  const names = [
    ...FILES,
    "memory.peak",
    "memory.events",
    "pids.max",
    "io.stat",
    ...pageSizes.map((size) => `hugetlb.${size}.current`),
  ];
  return {
    files: [{ root, names }],
    parse: (text, timestampNs) => v2Details(text, timestampNs, pageSizes),
  };
}

function v2Stats(text: StatTexts, timestampNs: bigint): CgroupStats {
  const memoryStat = text("memory.stat") ?? "";
  const usage = numberOf(text("memory.current"));
  const memoryLimit = limitOf(text("memory.max") ?? "");
  const swapLimit = limitOf(text("memory.swap.max") ?? "");
  const stats: CgroupStats = {
    timestampNs,
    cpuUsageNs: BigInt(statField(text("cpu.stat") ?? "", "usage_usec")) * 1000n,
    memoryUsageBytes: usage,
    memoryWorkingSetBytes: Math.max(0, usage - statField(memoryStat, "inactive_file")),
    memoryRssBytes: statField(memoryStat, "anon"),
    memoryPageFaults: statField(memoryStat, "pgfault"),
    memoryMajorPageFaults: statField(memoryStat, "pgmajfault"),
    swapUsageBytes: numberOf(text("memory.swap.current")),
    pids: numberOf(text("pids.current")),
    processes: lineCount(text("cgroup.procs") ?? ""),
    ...pressures(text),
  };
  if (memoryLimit !== undefined) stats.memoryLimitBytes = memoryLimit;
  if (swapLimit !== undefined) stats.swapLimitBytes = swapLimit;
  return stats;
}

function v2Details(text: StatTexts, timestampNs: bigint, pageSizes: readonly string[]): CgroupDetails {
  const stats = v2Stats(text, timestampNs);
  const memoryStat = text("memory.stat") ?? "";
  const cpuStat = text("cpu.stat") ?? "";
  const memory = (key: string): number => statField(memoryStat, key);
  const details: CgroupDetails = {
    ...stats,
    oomKills: statField(text("memory.events") ?? "", "oom_kill"),
    cpuUserNs: BigInt(statField(cpuStat, "user_usec")) * 1000n,
    cpuSystemNs: BigInt(statField(cpuStat, "system_usec")) * 1000n,
    cpuPeriods: statField(cpuStat, "nr_periods"),
    cpuThrottledPeriods: statField(cpuStat, "nr_throttled"),
    cpuThrottledNs: BigInt(statField(cpuStat, "throttled_usec")) * 1000n,
    memoryCacheBytes: memory("file"),
    memoryMappedFileBytes: memory("file_mapped"),
    memoryActiveFileBytes: memory("active_file"),
    memoryInactiveFileBytes: memory("inactive_file"),
    memoryKernelBytes: kernelBytes(memoryStat),
    memoryLimitHits: statField(text("memory.events") ?? "", "max"),
    // v2 counts a group with those below it.
    ownPageFaults: stats.memoryPageFaults,
    ownMajorPageFaults: stats.memoryMajorPageFaults,
    io: deviceIo(text("io.stat")),
    hugepages: pageSizes.flatMap((pageSize) => {
      const usage = text(`hugetlb.${pageSize}.current`);
      return usage === undefined ? [] : [{ pageSize, usageBytes: Number(usage) }];
    }),
  };
  const peak = text("memory.peak");
  if (peak !== undefined) details.memoryPeakBytes = numberOf(peak);
  const pidsLimit = limitOf(text("pids.max") ?? "");
  if (pidsLimit !== undefined) details.pidsLimit = pidsLimit;
  return details;
}

/** Kernels before 5.18 have no sum. */
function kernelBytes(memoryStat: string): number {
  const sum = statField(memoryStat, "kernel");
  if (sum > 0) return sum;
  return ["kernel_stack", "pagetables", "percpu", "slab"].reduce(
    (bytes, key) => bytes + statField(memoryStat, key),
    0,
  );
}

/** "254:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0"; a device without any is "254:0 ". */
function deviceIo(ioStat: string | undefined): DeviceIo[] {
  return Array.from(deviceLines(ioStat), ({ major, minor, rest }) => {
    const field = (key: string): number => Number(new RegExp(`(?:^| )${key}=(\\d+)`).exec(rest)?.[1] ?? 0);
    return {
      major,
      minor,
      readBytes: field("rbytes"),
      writtenBytes: field("wbytes"),
      reads: field("rios"),
      writes: field("wios"),
    };
  });
}
