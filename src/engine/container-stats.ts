/**
 * Resource use of containers. Each reading is taken when asked for; the processor rate is between this reading and
 * an earlier one of at least a tenth of a second ago, and the size of the writable layer, which takes a walk of the
 * disk, is refreshed beside the calls and never waited for after the first.
 */
import { errorMessage } from "../base/errors.ts";
import type { CgroupStats } from "../oci/cgroup.ts";
import type { ContainerEntry } from "./container-table.ts";
import type { EngineContext } from "./engine-context.ts";
import { listContainers } from "./container-list.ts";
import type { ContainerStatsFilter, ContainerUsage } from "./resources.ts";
import { wallClockNs } from "./clock.ts";

const SAMPLE_AGE_NS = 100_000_000n;
const WRITABLE_AGE_NS = 10_000_000_000n;

export async function containerStats(context: EngineContext, id: string): Promise<ContainerUsage> {
  return usageOf(context, context.containers.get(id));
}

/** Of running containers; one that exits meanwhile is left out. */
export async function listContainerStats(
  context: EngineContext,
  filter: ContainerStatsFilter,
): Promise<ContainerUsage[]> {
  const running = listContainers(context, { ...filter, state: "running" }).map(({ id }) =>
    context.containers.get(id),
  );
  const usages = await Promise.all(
    running.map((entry) =>
      usageOf(context, entry).catch((error: unknown) => {
        if (entry.container.state === "running")
          context.log.warn(
            { containerId: entry.container.id, err: errorMessage(error) },
            "container stats failed",
          );
        return undefined;
      }),
    ),
  );
  return usages.filter((usage) => usage !== undefined);
}

async function usageOf(context: EngineContext, entry: ContainerEntry): Promise<ContainerUsage> {
  const running = entry.container.state === "running";
  const [stats, filesystem] = await Promise.all([
    running ? context.cgroups.load(entry.cgroupPath).stats() : stoppedStats(),
    writableUsage(context, entry),
  ]);
  const usage: ContainerUsage = {
    containerId: entry.container.id,
    timestampNs: stats.timestampNs,
    cpuUsageNs: stats.cpuUsageNs,
    memoryUsageBytes: stats.memoryUsageBytes,
    memoryWorkingSetBytes: stats.memoryWorkingSetBytes,
    memoryRssBytes: stats.memoryRssBytes,
    memoryPageFaults: stats.memoryPageFaults,
    memoryMajorPageFaults: stats.memoryMajorPageFaults,
    swapUsageBytes: stats.swapUsageBytes,
    filesystem: { directory: context.snapshotter.directory, ...filesystem },
  };
  if (stats.memoryLimitBytes !== undefined)
    usage.memoryAvailableBytes = Math.max(0, stats.memoryLimitBytes - stats.memoryWorkingSetBytes);
  if (stats.swapLimitBytes !== undefined)
    usage.swapAvailableBytes = Math.max(0, stats.swapLimitBytes - stats.swapUsageBytes);
  const rate = running ? processorRate(entry, stats) : undefined;
  if (rate !== undefined) usage.cpuNanoCores = rate;
  return usage;
}

/** Nanoseconds of processor time for each second since the earlier sample; undefined without one. */
function processorRate(entry: ContainerEntry, stats: CgroupStats): bigint | undefined {
  const before = entry.cpuSample;
  const sample = { timestampNs: stats.timestampNs, usageNs: stats.cpuUsageNs };
  if (!before) {
    entry.cpuSample = sample;
    return undefined;
  }
  const elapsedNs = sample.timestampNs - before.timestampNs;
  if (elapsedNs < SAMPLE_AGE_NS) return entry.cpuRate;
  entry.cpuSample = sample;
  const usedNs = sample.usageNs > before.usageNs ? sample.usageNs - before.usageNs : 0n;
  entry.cpuRate = (usedNs * 1_000_000_000n) / elapsedNs;
  return entry.cpuRate;
}

type WritableUsage = NonNullable<ContainerEntry["writable"]>;

async function writableUsage(context: EngineContext, entry: ContainerEntry): Promise<WritableUsage> {
  const known = entry.writable;
  if (known && wallClockNs() - known.timestampNs < WRITABLE_AGE_NS) return known;
  entry.writableRefresh ??= context.snapshotter
    .usage(entry.container.id)
    .then((usage) => {
      entry.writable = { usedBytes: usage.bytes, inodesUsed: usage.inodes, timestampNs: wallClockNs() };
      return entry.writable;
    })
    .finally(() => delete entry.writableRefresh);
  if (!known) return entry.writableRefresh;
  entry.writableRefresh.catch((error: unknown) =>
    context.log.warn(
      { containerId: entry.container.id, err: errorMessage(error) },
      "size of the writable layer unknown",
    ),
  );
  return known;
}

/** What a container that does not run uses: nothing. */
function stoppedStats(): CgroupStats {
  return {
    timestampNs: wallClockNs(),
    cpuUsageNs: 0n,
    memoryUsageBytes: 0,
    memoryWorkingSetBytes: 0,
    memoryRssBytes: 0,
    memoryPageFaults: 0,
    memoryMajorPageFaults: 0,
    swapUsageBytes: 0,
    pids: 0,
    oomKills: 0,
  };
}
