/**
 * The counters of v1 groups. On a hybrid host the pressure files, and hugetlb where v2 has its controller, are those of
 * the same group in the v2 hierarchy.
 */
import type { Hierarchies } from "./cgroup-hierarchies.ts";
import {
  bigintOf,
  deviceLines,
  limitOf,
  lineCount,
  numberOf,
  pressureOf,
  statField,
} from "./cgroup-stat-text.ts";
import type { StatLayout, StatTexts } from "./cgroup-stat-reader.ts";
import type { CgroupDetails, CgroupStats, DeviceIo, HugepageUsage } from "./cgroup.ts";

const MEMORY = [
  "memory.usage_in_bytes",
  "memory.stat",
  "memory.limit_in_bytes",
  "memory.memsw.limit_in_bytes",
];
const MEMORY_DETAILS = [
  "memory.oom_control",
  "memory.failcnt",
  "memory.max_usage_in_bytes",
  "memory.kmem.usage_in_bytes",
];
const BLOCK_BYTES = "blkio.throttle.io_service_bytes_recursive";
const BLOCK_COUNTS = "blkio.throttle.io_serviced_recursive";
const PRESSURE = ["cpu.pressure", "memory.pressure", "io.pressure"];

/** The few files of CgroupStats. */
export function v1StatLayout(hierarchies: Hierarchies): StatLayout<CgroupStats> {
  return { files: filesOf(hierarchies, { memory: MEMORY, pids: ["pids.current"] }, []), parse: v1Stats };
}

/** The files of CgroupDetails. @param pageSizes of huge pages, "2MB". */
export function v1DetailLayout(
  hierarchies: Hierarchies,
  pageSizes: readonly string[],
): StatLayout<CgroupDetails> {
  const wanted = {
    memory: [...MEMORY, ...MEMORY_DETAILS],
    cpuacct: ["cpuacct.usage_user", "cpuacct.usage_sys"],
    cpu: ["cpu.stat"],
    pids: ["pids.current", "pids.max"],
    blkio: [BLOCK_BYTES, BLOCK_COUNTS],
    hugetlb: pageSizes.flatMap((size) => [
      `hugetlb.${size}.usage_in_bytes`,
      `hugetlb.${size}.max_usage_in_bytes`,
    ]),
  };
  const unified = pageSizes.map((size) => `hugetlb.${size}.current`);
  return {
    files: filesOf(hierarchies, wanted, unified),
    parse: (text, timestampNs) => v1Details(text, timestampNs, pageSizes),
  };
}

function filesOf(
  { v1, v1Roots, unified }: Hierarchies,
  wanted: Readonly<Record<string, readonly string[]>>,
  ofUnified: readonly string[],
): StatLayout<unknown>["files"] {
  const byRoot = new Map<string, string[]>();
  const add = (root: string | undefined, names: readonly string[]): void => {
    if (root !== undefined) byRoot.set(root, [...(byRoot.get(root) ?? []), ...names]);
  };
  add(unified ?? v1Roots[0], ["cgroup.procs"]);
  add(unified, [...PRESSURE, ...ofUnified]);
  add(v1.get("cpuacct"), ["cpuacct.usage"]);
  for (const [controller, names] of Object.entries(wanted)) add(v1.get(controller), names);
  return [...byRoot].map(([root, names]) => ({ root, names }));
}

function v1Stats(text: StatTexts, timestampNs: bigint): CgroupStats {
  const memoryStat = text("memory.stat") ?? "";
  const usage = numberOf(text("memory.usage_in_bytes"));
  const memoryLimit = limitOf(text("memory.limit_in_bytes") ?? "");
  const memswLimit = limitOf(text("memory.memsw.limit_in_bytes") ?? "");
  const stats: CgroupStats = {
    timestampNs,
    cpuUsageNs: bigintOf(text("cpuacct.usage")),
    memoryUsageBytes: usage,
    memoryWorkingSetBytes: Math.max(0, usage - statField(memoryStat, "total_inactive_file")),
    memoryRssBytes: statField(memoryStat, "total_rss"),
    memoryPageFaults: statField(memoryStat, "total_pgfault"),
    memoryMajorPageFaults: statField(memoryStat, "total_pgmajfault"),
    swapUsageBytes: statField(memoryStat, "total_swap"),
    pids: numberOf(text("pids.current")),
    processes: lineCount(text("cgroup.procs") ?? ""),
    ...pressures(text),
  };
  if (memoryLimit !== undefined) stats.memoryLimitBytes = memoryLimit;
  if (memswLimit !== undefined && memoryLimit !== undefined)
    stats.swapLimitBytes = Math.max(0, memswLimit - memoryLimit);
  return stats;
}

/** Of both versions: the files are the same. */
export function pressures(
  text: StatTexts,
): Pick<CgroupStats, "cpuPressure" | "memoryPressure" | "ioPressure"> {
  const cpuPressure = pressureOf(text("cpu.pressure"));
  const memoryPressure = pressureOf(text("memory.pressure"));
  const ioPressure = pressureOf(text("io.pressure"));
  return {
    ...(cpuPressure && { cpuPressure }),
    ...(memoryPressure && { memoryPressure }),
    ...(ioPressure && { ioPressure }),
  };
}

function v1Details(text: StatTexts, timestampNs: bigint, pageSizes: readonly string[]): CgroupDetails {
  const memoryStat = text("memory.stat") ?? "";
  const cpuStat = text("cpu.stat") ?? "";
  const memory = (key: string): number => statField(memoryStat, key);
  const details: CgroupDetails = {
    ...v1Stats(text, timestampNs),
    oomKills: statField(text("memory.oom_control") ?? "", "oom_kill"),
    cpuUserNs: bigintOf(text("cpuacct.usage_user")),
    cpuSystemNs: bigintOf(text("cpuacct.usage_sys")),
    cpuPeriods: statField(cpuStat, "nr_periods"),
    cpuThrottledPeriods: statField(cpuStat, "nr_throttled"),
    cpuThrottledNs: BigInt(statField(cpuStat, "throttled_time")),
    memoryCacheBytes: memory("total_cache"),
    memoryMappedFileBytes: memory("total_mapped_file"),
    memoryActiveFileBytes: memory("total_active_file"),
    memoryInactiveFileBytes: memory("total_inactive_file"),
    memoryKernelBytes: numberOf(text("memory.kmem.usage_in_bytes")),
    memoryPeakBytes: numberOf(text("memory.max_usage_in_bytes")),
    memoryLimitHits: numberOf(text("memory.failcnt")),
    ownPageFaults: memory("pgfault"),
    ownMajorPageFaults: memory("pgmajfault"),
    io: deviceIo(text),
    hugepages: pageSizes.flatMap((pageSize) => hugepage(text, pageSize)),
  };
  const pidsLimit = limitOf(text("pids.max") ?? "");
  if (pidsLimit !== undefined) details.pidsLimit = pidsLimit;
  return details;
}

/** "254:0 Read 4096" in one file of bytes and one of operations. */
function deviceIo(text: StatTexts): DeviceIo[] {
  const devices = new Map<string, DeviceIo>();
  const collect = (file: string, read: "readBytes" | "reads", write: "writtenBytes" | "writes"): void => {
    for (const { major, minor, rest } of deviceLines(text(file))) {
      const key = `${major}:${minor}`;
      const device = devices.get(key) ?? {
        major,
        minor,
        readBytes: 0,
        writtenBytes: 0,
        reads: 0,
        writes: 0,
      };
      devices.set(key, device);
      const [operation, count] = rest.split(" ");
      if (operation === "Read") device[read] = Number(count);
      if (operation === "Write") device[write] = Number(count);
    }
  };
  collect(BLOCK_BYTES, "readBytes", "writtenBytes");
  collect(BLOCK_COUNTS, "reads", "writes");
  return [...devices.values()];
}

function hugepage(text: StatTexts, pageSize: string): HugepageUsage[] {
  const usage = text(`hugetlb.${pageSize}.usage_in_bytes`) ?? text(`hugetlb.${pageSize}.current`);
  const peak = text(`hugetlb.${pageSize}.max_usage_in_bytes`);
  if (usage === undefined) return [];
  const usageBytes = Number(usage);
  return [peak === undefined ? { pageSize, usageBytes } : { pageSize, usageBytes, peakBytes: Number(peak) }];
}
