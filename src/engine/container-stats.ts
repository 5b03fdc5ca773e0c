/**
 * Resource use of containers. Each reading is taken when asked for; the processor rate is between this reading and an
 * earlier one (cpu-rate.ts), and the size of the writable layer is the last known one (layer-walks.ts).
 */
import type { CgroupStats } from "../oci/cgroup.ts";
import { wallClockNs } from "./clock.ts";
import { listContainers } from "./container-list.ts";
import type { ContainerEntry } from "./container-table.ts";
import { CpuRate } from "./cpu-rate.ts";
import type { EngineContext } from "./engine-context.ts";
import { inPortions } from "./portions.ts";
import type { ContainerStatsFilter, ContainerUsage, GroupUsage, LayerUsage } from "./resources.ts";

const CONTAINERS_IN_PORTION = 32;

/** Of one that does not run: nothing but its layer. */
export async function containerStats(context: EngineContext, id: string): Promise<ContainerUsage> {
  const entry = context.containers.get(id);
  const [readings, [layer]] = await Promise.all([
    context.cgroups.readStats(entry.container.state === "running" ? [entry.cgroupPath] : []),
    context.layerWalks.sizes([entry]),
  ]);
  return containerUsage(context, entry, readings.at(0) ?? noStats(), layer);
}

/** Of running containers; one that exits meanwhile is left out. */
export async function* listContainerStats(
  context: EngineContext,
  filter: ContainerStatsFilter,
  signal: AbortSignal,
): AsyncGenerator<ContainerUsage[]> {
  const running = listContainers(context, { ...filter, state: "running" }).map(({ id }) =>
    context.containers.get(id),
  );
  const [readings, layers] = await Promise.all([
    context.cgroups.readStats(running.map(({ cgroupPath }) => cgroupPath)),
    context.layerWalks.sizes(running),
  ]);
  yield* inPortions(running, CONTAINERS_IN_PORTION, signal, (entry, index) => {
    const stats = readings.at(index);
    if (!stats || entry.container.state !== "running") return undefined;
    return containerUsage(context, entry, stats, layers[index]);
  });
}

/** @param layer what is known of the writable layer. */
export function containerUsage(
  context: EngineContext,
  entry: ContainerEntry,
  stats: CgroupStats,
  layer: LayerUsage | undefined,
): ContainerUsage {
  const { container } = entry;
  const usage: ContainerUsage = { container, ...groupUsage(stats) };
  if (layer) usage.filesystem = { directory: context.snapshotter.directory, ...layer };
  if (container.state === "running") {
    // Its cgroup was made at the start, and had used nothing.
    entry.cpuRate ??= new CpuRate(container.startedAtNs, 0n);
    const rate = entry.cpuRate.next(stats.timestampNs, stats.cpuUsageNs);
    if (rate !== undefined) usage.cpuNanoCores = rate;
  }
  return usage;
}

/** What one reading says, without a rate. */
export function groupUsage(stats: CgroupStats): GroupUsage {
  const { memoryLimitBytes, memoryWorkingSetBytes, swapLimitBytes, swapUsageBytes } = stats;
  return {
    timestampNs: stats.timestampNs,
    cpuUsageNs: stats.cpuUsageNs,
    memoryUsageBytes: stats.memoryUsageBytes,
    memoryWorkingSetBytes,
    memoryRssBytes: stats.memoryRssBytes,
    memoryPageFaults: stats.memoryPageFaults,
    memoryMajorPageFaults: stats.memoryMajorPageFaults,
    swapUsageBytes,
    // Processes in groups that the container made below its own are not listed in it: then its tasks are counted.
    processes: stats.processes || stats.pids,
    ...(memoryLimitBytes !== undefined && {
      memoryAvailableBytes: Math.max(0, memoryLimitBytes - memoryWorkingSetBytes),
    }),
    ...(swapLimitBytes !== undefined && {
      swapAvailableBytes: Math.max(0, swapLimitBytes - swapUsageBytes),
    }),
    ...(stats.cpuPressure && { cpuPressure: stats.cpuPressure }),
    ...(stats.memoryPressure && { memoryPressure: stats.memoryPressure }),
    ...(stats.ioPressure && { ioPressure: stats.ioPressure }),
  };
}

/** What a group uses that is not there: nothing. */
export function noStats(): CgroupStats {
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
    processes: 0,
  };
}
