/**
 * The metrics and their names, which are cAdvisor's: dashboards and alerts know them. Each family says how its values
 * come from what the engine measured.
 *
 * Labels are those that cAdvisor itself gives: `id` (the cgroup), `image`, `name` (the id at the runtime) and what a
 * family has besides. `namespace`, `pod` and `container` are the kubelet's to add; from here they would be there twice.
 * Values are whole numbers, as the protocol has it, so times in seconds lose their fractions.
 */
import type { ContainerMeasures, InterfaceCounters, Pressure } from "../engine/resources.ts";

export interface MetricFamily<Measures> {
  name: string;
  help: string;
  type: "counter" | "gauge";
  /** Labels besides the common ones, in the order in which `values` gives them. */
  labels?: readonly string[];
  values(measures: Measures, emit: Emit): void;
}

/** @param timestampNs of a value that is not of now. */
export type Emit = (value: number, labels?: readonly string[], timestampNs?: bigint) => void;

export const COMMON_LABELS = ["id", "image", "name"] as const;

type Container = MetricFamily<ContainerMeasures>;
type Counted = ContainerMeasures["counts"];

/** What the kernel takes where nothing is asked for. */
const DEFAULT_CPU_PERIOD_US = 100_000;
const DEFAULT_CPU_SHARES = 1024;

const seconds = (ns: bigint): number => Number(ns / 1_000_000_000n);

function counter(name: string, help: string, value: (measures: ContainerMeasures) => number): Container {
  return { name, help, type: "counter", values: (measures, emit) => emit(value(measures)) };
}

function gauge(
  name: string,
  help: string,
  value: (measures: ContainerMeasures) => number | undefined,
): Container {
  return {
    name,
    help,
    type: "gauge",
    values: (measures, emit) => {
      const found = value(measures);
      if (found !== undefined) emit(found);
    },
  };
}

const cpu: Container[] = [
  {
    name: "container_cpu_usage_seconds_total",
    help: "Processor time used, in seconds",
    type: "counter",
    labels: ["cpu"],
    values: ({ counts }, emit) => emit(seconds(counts.cpuUsageNs), ["total"]),
  },
  counter("container_cpu_user_seconds_total", "Processor time used in user mode, in seconds", ({ counts }) =>
    seconds(counts.cpuUserNs),
  ),
  counter(
    "container_cpu_system_seconds_total",
    "Processor time used in the kernel, in seconds",
    ({ counts }) => seconds(counts.cpuSystemNs),
  ),
  counter(
    "container_cpu_cfs_periods_total",
    "Periods of the processor quota that have passed",
    ({ counts }) => counts.cpuPeriods,
  ),
  counter(
    "container_cpu_cfs_throttled_periods_total",
    "Periods in which the processor quota was used up",
    ({ counts }) => counts.cpuThrottledPeriods,
  ),
  counter(
    "container_cpu_cfs_throttled_seconds_total",
    "Time for which tasks were held back by the processor quota, in seconds",
    ({ counts }) => seconds(counts.cpuThrottledNs),
  ),
];

const memory: Container[] = [
  gauge(
    "container_memory_usage_bytes",
    "Memory in use with all page cache",
    ({ counts }) => counts.memoryUsageBytes,
  ),
  gauge(
    "container_memory_working_set_bytes",
    "Memory in use without inactive page cache",
    ({ counts }) => counts.memoryWorkingSetBytes,
  ),
  gauge("container_memory_rss", "Anonymous memory in bytes", ({ counts }) => counts.memoryRssBytes),
  gauge("container_memory_cache", "Page cache in bytes", ({ counts }) => counts.memoryCacheBytes),
  gauge(
    "container_memory_mapped_file",
    "Mapped files in bytes",
    ({ counts }) => counts.memoryMappedFileBytes,
  ),
  gauge(
    "container_memory_total_active_file_bytes",
    "Active page cache in bytes",
    ({ counts }) => counts.memoryActiveFileBytes,
  ),
  gauge(
    "container_memory_total_inactive_file_bytes",
    "Inactive page cache in bytes",
    ({ counts }) => counts.memoryInactiveFileBytes,
  ),
  gauge("container_memory_swap", "Swap in use in bytes", ({ counts }) => counts.swapUsageBytes),
  gauge("container_memory_kernel_usage", "Kernel memory in bytes", ({ counts }) => counts.memoryKernelBytes),
  gauge(
    "container_memory_max_usage_bytes",
    "Highest use of memory so far",
    ({ counts }) => counts.memoryPeakBytes,
  ),
  counter(
    "container_memory_failcnt",
    "How often the memory limit was met",
    ({ counts }) => counts.memoryLimitHits,
  ),
  {
    name: "container_memory_failures_total",
    help: "Page faults, of the cgroup alone and with those below it",
    type: "counter",
    labels: ["failure_type", "scope"],
    values: ({ counts }, emit) => {
      emit(counts.ownPageFaults, ["pgfault", "container"]);
      emit(counts.ownMajorPageFaults, ["pgmajfault", "container"]);
      emit(counts.memoryPageFaults, ["pgfault", "hierarchy"]);
      emit(counts.memoryMajorPageFaults, ["pgmajfault", "hierarchy"]);
    },
  },
  counter(
    "container_oom_events_total",
    "Processes that the OOM killer has killed",
    ({ counts }) => counts.oomKills,
  ),
];

function hugepages(name: string, help: string, key: "usageBytes" | "peakBytes"): Container {
  return {
    name,
    help,
    type: "gauge",
    labels: ["pagesize"],
    values: ({ counts }, emit) => {
      for (const page of counts.hugepages) {
        const bytes = page[key];
        if (bytes !== undefined) emit(bytes, [page.pageSize]);
      }
    },
  };
}

function pressure(resource: "cpu" | "memory" | "io"): Container[] {
  const line = (what: string, help: string, key: keyof Pressure): Container => ({
    name: `container_pressure_${resource}_${what}_seconds_total`,
    help,
    type: "counter",
    values: ({ counts }, emit) => {
      const found = (counts as Pick<Counted, `${typeof resource}Pressure`>)[`${resource}Pressure`]?.[key];
      if (found) emit(found.totalUs / 1e6);
    },
  });
  return [
    line("waiting", `Time for which a task waited for ${resource}, in seconds`, "some"),
    line("stalled", `Time for which all tasks waited for ${resource}, in seconds`, "full"),
  ];
}

type DeviceKey = "readBytes" | "writtenBytes" | "reads" | "writes";

function deviceCounter(name: string, help: string, key: DeviceKey): Container {
  return {
    name,
    help,
    type: "counter",
    labels: ["device"],
    values: ({ counts, deviceNames }, emit) => {
      for (const [index, io] of counts.io.entries()) emit(io[key], [deviceNames[index] ?? ""]);
    },
  };
}

function filesystemGauge(name: string, help: string, key: "sizeBytes" | "inodes" | "inodesFree"): Container {
  return {
    name,
    help,
    type: "gauge",
    labels: ["device"],
    values: ({ capacity }, emit) => emit(capacity[key], [capacity.device]),
  };
}

const filesystem: Container[] = [
  {
    name: "container_blkio_device_usage_total",
    help: "Bytes read from and written to block devices",
    type: "counter",
    labels: ["device", "major", "minor", "operation"],
    values: ({ counts, deviceNames }, emit) => {
      for (const [index, io] of counts.io.entries()) {
        const device = [deviceNames[index] ?? "", String(io.major), String(io.minor)];
        emit(io.readBytes, [...device, "Read"]);
        emit(io.writtenBytes, [...device, "Write"]);
      }
    },
  },
  deviceCounter("container_fs_reads_bytes_total", "Bytes read from a block device", "readBytes"),
  deviceCounter("container_fs_reads_total", "Reads from a block device", "reads"),
  deviceCounter("container_fs_writes_bytes_total", "Bytes written to a block device", "writtenBytes"),
  deviceCounter("container_fs_writes_total", "Writes to a block device", "writes"),
  filesystemGauge("container_fs_limit_bytes", "Size of the writable layer's filesystem", "sizeBytes"),
  filesystemGauge("container_fs_inodes_total", "Inodes of the writable layer's filesystem", "inodes"),
  filesystemGauge("container_fs_inodes_free", "Free inodes of the writable layer's filesystem", "inodesFree"),
  {
    name: "container_fs_usage_bytes",
    help: "Size of the writable layer when it was last looked at",
    type: "gauge",
    labels: ["device"],
    values: ({ layer, capacity }, emit) => {
      if (layer) emit(layer.usedBytes, [capacity.device], layer.timestampNs);
    },
  },
];

const processes: Container[] = [
  gauge("container_processes", "Processes", ({ counts }) => counts.processes || counts.pids),
  gauge("container_threads", "Threads", ({ counts }) => counts.pids),
  gauge("container_threads_max", "Limit on threads; 0 is none", ({ counts }) => counts.pidsLimit ?? 0),
  gauge("container_file_descriptors", "Open file descriptors", ({ descriptors }) => descriptors),
  gauge("container_sockets", "Open sockets", ({ sockets }) => sockets),
  {
    name: "container_ulimits_soft",
    help: "Soft limits of the first process; absent where there is none",
    type: "gauge",
    labels: ["ulimit"],
    values: ({ openFilesLimit }, emit) => {
      if (openFilesLimit !== undefined) emit(openFilesLimit, ["max_open_files"]);
    },
  },
];

const spec: Container[] = [
  gauge("container_last_seen", "When these metrics were read, in seconds since the epoch", ({ counts }) =>
    seconds(counts.timestampNs),
  ),
  gauge(
    "container_start_time_seconds",
    "Start of the container, in seconds since the epoch",
    ({ container }) => seconds(container.startedAtNs),
  ),
  gauge(
    "container_spec_cpu_period",
    "Period of the processor quota in microseconds",
    ({ container }) => container.resources.cpuPeriodUs || DEFAULT_CPU_PERIOD_US,
  ),
  gauge("container_spec_cpu_quota", "Processor quota in microseconds of each period", ({ container }) =>
    container.resources.cpuQuotaUs > 0 ? container.resources.cpuQuotaUs : undefined,
  ),
  gauge(
    "container_spec_cpu_shares",
    "Weight among those that compete for processors",
    ({ container }) => container.resources.cpuShares || DEFAULT_CPU_SHARES,
  ),
  gauge(
    "container_spec_memory_limit_bytes",
    "Limit on memory; 0 is none",
    ({ counts }) => counts.memoryLimitBytes ?? 0,
  ),
  gauge(
    "container_spec_memory_swap_limit_bytes",
    "Limit on swap; 0 is none of either, limit or swap",
    ({ counts }) => counts.swapLimitBytes ?? 0,
  ),
  gauge(
    "container_spec_memory_reservation_limit_bytes",
    "Memory that is protected from reclaim",
    ({ container }) => Number(container.resources.unified["memory.low"] ?? 0),
  ),
];

/** Of each container. */
export const CONTAINER_FAMILIES: readonly Container[] = [
  ...cpu,
  ...memory,
  hugepages("container_hugetlb_usage_bytes", "Huge pages in use, in bytes", "usageBytes"),
  hugepages("container_hugetlb_max_usage_bytes", "Highest use of huge pages so far, in bytes", "peakBytes"),
  ...pressure("cpu"),
  ...pressure("memory"),
  ...pressure("io"),
  ...filesystem,
  ...processes,
  ...spec,
];

function network(
  direction: "receive" | "transmit",
  unit: "bytes" | "packets" | "errors" | "packets_dropped",
  key: Exclude<keyof InterfaceCounters, "name">,
): MetricFamily<InterfaceCounters[]> {
  const done = direction === "receive" ? "received" : "sent";
  const help = {
    bytes: `Bytes ${done}`,
    packets: `Packets ${done}`,
    errors: `Packets that could not be ${done} for an error`,
    packets_dropped: `Packets that were dropped instead of being ${done}`,
  }[unit];
  return {
    name: `container_network_${direction}_${unit}_total`,
    help,
    type: "counter",
    labels: ["interface"],
    values: (interfaces, emit) => {
      for (const each of interfaces) emit(each[key], [each.name]);
    },
  };
}

/** Of each pod with a network of its own. */
export const POD_FAMILIES: readonly MetricFamily<InterfaceCounters[]>[] = [
  network("receive", "bytes", "rxBytes"),
  network("receive", "packets", "rxPackets"),
  network("receive", "errors", "rxErrors"),
  network("receive", "packets_dropped", "rxDropped"),
  network("transmit", "bytes", "txBytes"),
  network("transmit", "packets", "txPackets"),
  network("transmit", "errors", "txErrors"),
  network("transmit", "packets_dropped", "txDropped"),
];
