/** The OCI's resources, whose units are those of v1, as writes to v2 control files (the kernel's cgroup-v2 docs). */
import { join } from "node:path";
import { GantryError } from "../base/errors.ts";
import { rdmaWrites, v2BlockIoWrites } from "./cgroup-device-limits.ts";
import { statField } from "./cgroup-stat-text.ts";
import type { CgroupWrite } from "./cgroup-write.ts";
import type { Resources } from "./runtime-spec.ts";

/**
 * cpu.weight for v1 cpu.shares: 2 → 1, 1024 → 100, 262144 → 10000, and a curve through them on logarithmic axes,
 * so that default shares give the default weight.
 */
export function cpuWeightFromShares(shares: number): number {
  if (shares <= 2) return 1;
  if (shares >= 262144) return 10000;
  const log = Math.log2(shares);
  return Math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34));
}

/** io.weight (1–10000) for blkio.weight (10–1000). */
export function ioWeightFromBlkio(weight: number): number {
  return 1 + Math.floor(((weight - 10) * 9999) / 990);
}

/**
 * @throws GantryError invalid-argument for limits that contradict each other or name no control file,
 *   failed-precondition with checkBeforeUpdate and a limit below the usage.
 */
export function v2Writes(
  resources: Resources,
  directory: string,
  read: (path: string) => string | undefined,
): CgroupWrite[] {
  const writes: CgroupWrite[] = [];
  const put = (file: string, value: number | string | undefined, optional = false): void => {
    if (value !== undefined)
      writes.push({ directory, file, value: String(value), ...(optional ? { optional } : {}) });
  };
  const { cpu, memory, pids, blockIO } = resources;
  if (memory) putMemory(memory, directory, read, put);
  if (cpu) {
    if (cpu.realtimePeriod || cpu.realtimeRuntime)
      throw new GantryError("failed-precondition", "cgroup: v2 has no realtime limits");
    // A group that is idle takes no weight, and has none of its own.
    if (cpu.idle === 0) put("cpu.idle", 0);
    if (cpu.idle !== 1) put("cpu.weight", cpu.shares ? cpuWeightFromShares(cpu.shares) : undefined);
    if (cpu.idle === 1) put("cpu.idle", 1);
    if (cpu.quota || cpu.period) {
      const quota = cpu.quota
        ? cpu.quota > 0
          ? String(cpu.quota)
          : "max"
        : read(join(directory, "cpu.max"))?.split(" ")[0];
      const period = cpu.period || Number(read(join(directory, "cpu.max"))?.split(" ")[1] ?? 100000);
      put("cpu.max", `${quota ?? "max"} ${period}`);
    }
    put("cpu.max.burst", cpu.burst);
    put("cpuset.cpus", cpu.cpus || undefined);
    put("cpuset.mems", cpu.mems || undefined);
  }
  if (pids) put("pids.max", pids.limit > 0 ? pids.limit : "max");
  for (const { pageSize, limit } of resources.hugepageLimits ?? []) {
    writes.push(...v2HugepageWrites(directory, pageSize, limit));
  }
  if (blockIO) writes.push(...v2BlockIoWrites(blockIO, directory, read, ioWeightFromBlkio));
  if (resources.rdma) writes.push(...rdmaWrites(resources.rdma, directory));
  if (resources.network?.classID || resources.network?.priorities?.length)
    throw new GantryError(
      "failed-precondition",
      "cgroup: v2 has no classes and priorities of network traffic",
    );
  for (const [file, value] of Object.entries(resources.unified ?? {})) {
    if (!/^[a-z]+(\.[A-Za-z0-9_-]+)+$/.test(file) || file.startsWith("cgroup.") || value.includes("\0")) {
      throw new GantryError("invalid-argument", `cgroup: ${JSON.stringify(file)} is not a limit`);
    }
    for (const line of value.split("\n").filter(Boolean)) put(file, line);
  }
  return writes;
}

/** @throws GantryError invalid-argument unless it is like "2MB": it becomes part of a file's name. */
export function checkPageSize(pageSize: string): void {
  if (!/^[0-9]+[KMG]B$/.test(pageSize))
    throw new GantryError("invalid-argument", `cgroup: page size ${JSON.stringify(pageSize)}`);
}

/** Pages in use, and pages reserved by a mapping, which is refused at once instead of killing at the first access. */
export function v2HugepageWrites(directory: string, pageSize: string, limit: number): CgroupWrite[] {
  checkPageSize(pageSize);
  const value = String(limit);
  return [
    { directory, file: `hugetlb.${pageSize}.max`, value, ...(limit === 0 && { optional: true }) },
    { directory, file: `hugetlb.${pageSize}.rsvd.max`, value, optional: true },
  ];
}

function putMemory(
  memory: NonNullable<Resources["memory"]>,
  directory: string,
  read: (path: string) => string | undefined,
  put: (file: string, value: number | string | undefined, optional?: boolean) => void,
): void {
  const { limit, swap, reservation } = memory;
  if (memory.disableOOMKiller)
    throw new GantryError("failed-precondition", "cgroup: v2 cannot disable the OOM killer");
  if (memory.swappiness !== undefined)
    throw new GantryError("failed-precondition", "cgroup: v2 has no swappiness of a group");
  if (memory.kernelTCP !== undefined && memory.kernelTCP > 0)
    throw new GantryError("failed-precondition", "cgroup: v2 has no limit of memory for TCP");
  if (memory.checkBeforeUpdate && limit !== undefined && limit > 0) {
    // Where v1 refuses, v2 kills. What the kernel drops without harm does not count.
    const cached = statField(read(join(directory, "memory.stat")) ?? "", "inactive_file");
    const usage = Number(read(join(directory, "memory.current")) ?? 0) - cached;
    if (usage > limit)
      throw new GantryError(
        "failed-precondition",
        `cgroup: memory limit ${limit} is below the ${usage} bytes in use`,
      );
  }
  // v1's limit is on memory and swap together, v2's on swap alone.
  if (swap !== undefined && swap > 0) {
    if (limit === undefined || limit <= 0) {
      throw new GantryError("invalid-argument", "cgroup: a limit of memory and swap needs a limit of memory");
    }
    if (swap < limit) {
      throw new GantryError(
        "invalid-argument",
        `cgroup: limit of memory and swap ${swap} is below that of memory ${limit}`,
      );
    }
    put("memory.swap.max", swap - limit, swap === limit);
  } else if (swap === -1 || limit === -1) {
    put("memory.swap.max", "max", true);
  }
  if (limit) put("memory.max", limit > 0 ? limit : "max");
  if (reservation) put("memory.low", reservation > 0 ? reservation : "max");
}
