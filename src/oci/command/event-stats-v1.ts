/** The counters of a v1 group for `events`. */
import { deviceLines } from "../cgroup-stat-text.ts";
import type { Counter, ReadStat, Shape } from "./event-stats.ts";
import { counter, fields, listed, memoryEntry, multiple, omitting } from "./event-stats-text.ts";

/** USER_HZ of every architecture that there is: 100 ticks a second. */
const TICK_NS = 10_000_000n;

export function statsOfV1(read: ReadStat, pageSizes: readonly string[]): Shape {
  return {
    cpu: cpu(read),
    cpuset: cpuset(read),
    memory: memory(read),
    pids: pids(read),
    blkio: blockIo(read),
    hugetlb: hugepages(read, pageSizes),
    intel_rdt: {},
    network_interfaces: null,
  };
}

function cpu(read: ReadStat): Shape {
  const times = fields(read("cpuacct", "cpuacct.stat"));
  const throttled = fields(read("cpu", "cpu.stat"));
  const perCpu = (read("cpuacct", "cpuacct.usage_percpu") ?? "").trim().split(" ").filter(Boolean);
  // "cpu user system", and a line for each processor.
  const rows = (read("cpuacct", "cpuacct.usage_all") ?? "")
    .split("\n")
    .slice(1)
    .filter(Boolean)
    .map((line) => line.split(" "));
  return {
    usage: omitting(
      {
        total: counter(read("cpuacct", "cpuacct.usage")),
        percpu: perCpu.map(counter),
        percpu_kernel: rows.map(([, , system]) => counter(system)),
        percpu_user: rows.map(([, user]) => counter(user)),
        kernel: multiple(times.get("system") ?? 0, TICK_NS),
        user: multiple(times.get("user") ?? 0, TICK_NS),
      },
      ["total", "percpu", "percpu_kernel", "percpu_user"],
    ),
    throttling: omitting(
      {
        periods: throttled.get("nr_periods") ?? 0,
        throttledPeriods: throttled.get("nr_throttled") ?? 0,
        throttledTime: throttled.get("throttled_time") ?? 0,
      },
      ["periods", "throttledPeriods", "throttledTime"],
    ),
  };
}

function cpuset(read: ReadStat): Shape {
  const flag = (name: string): Counter => counter(read("cpuset", `cpuset.${name}`));
  return omitting(
    {
      cpus: listed(read("cpuset", "cpuset.cpus")),
      cpu_exclusive: flag("cpu_exclusive"),
      mems: listed(read("cpuset", "cpuset.mems")),
      mem_hardwall: flag("mem_hardwall"),
      mem_exclusive: flag("mem_exclusive"),
      memory_migrate: flag("memory_migrate"),
      memory_spread_page: flag("memory_spread_page"),
      memory_spread_slab: flag("memory_spread_slab"),
      memory_pressure: flag("memory_pressure"),
      sched_load_balance: flag("sched_load_balance"),
      sched_relax_domain_level: flag("sched_relax_domain_level"),
    },
    ["cpus", "mems"],
  );
}

function memory(read: ReadStat): Shape {
  const raw = fields(read("memory", "memory.stat"));
  const entry = (prefix: string): Shape =>
    memoryEntry({
      limit: counter(read("memory", `${prefix}.limit_in_bytes`)),
      usage: counter(read("memory", `${prefix}.usage_in_bytes`)),
      max: counter(read("memory", `${prefix}.max_usage_in_bytes`)),
      failcnt: counter(read("memory", `${prefix}.failcnt`)),
    });
  return omitting(
    {
      cache: raw.get("cache") ?? 0,
      usage: entry("memory"),
      swap: entry("memory.memsw"),
      kernel: entry("memory.kmem"),
      kernelTCP: entry("memory.kmem.tcp"),
      raw: Object.fromEntries(raw),
    },
    ["cache"],
  );
}

function pids(read: ReadStat): Shape {
  const limit = read("pids", "pids.max")?.trim() ?? "max";
  return omitting(
    { current: counter(read("pids", "pids.current")), limit: limit === "max" ? 0 : counter(limit) },
    ["current", "limit"],
  );
}

/** Of the bfq scheduler where it counts, else of the throttling layer; "254:0 Read 4096". */
function blockIo(read: ReadStat): Shape {
  const entries = (name: string): Shape[] => {
    const bfq = read("blkio", `blkio.bfq.${name}`);
    const text = /^\d+:\d+ /m.test(bfq ?? "") ? bfq : read("blkio", `blkio.throttle.${name}`);
    return Array.from(deviceLines(text), ({ major, minor, rest }) => {
      const [op = "", value] = rest.split(" ");
      return omitting({ major, minor, op, value: counter(value) }, ["major", "minor", "op", "value"]);
    });
  };
  const shape = {
    ioServiceBytesRecursive: entries("io_service_bytes_recursive"),
    ioServicedRecursive: entries("io_serviced_recursive"),
    ioQueueRecursive: entries("io_queued_recursive"),
    ioServiceTimeRecursive: entries("io_service_time_recursive"),
    ioWaitTimeRecursive: entries("io_wait_time_recursive"),
    ioMergedRecursive: entries("io_merged_recursive"),
    ioTimeRecursive: entries("time_recursive"),
    sectorsRecursive: entries("sectors_recursive"),
  };
  return omitting(shape, Object.keys(shape));
}

function hugepages(read: ReadStat, pageSizes: readonly string[]): Shape {
  const entries = pageSizes.flatMap((size): [string, Shape][] => {
    const usage = read("hugetlb", `hugetlb.${size}.usage_in_bytes`);
    if (usage === undefined) return [];
    const entry = {
      usage: counter(usage),
      max: counter(read("hugetlb", `hugetlb.${size}.max_usage_in_bytes`)),
      failcnt: counter(read("hugetlb", `hugetlb.${size}.failcnt`)),
    };
    return [[size, omitting(entry, ["usage", "max"])]];
  });
  return Object.fromEntries(entries);
}
