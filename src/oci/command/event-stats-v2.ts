/**
 * The counters of a v2 group for `events`, in the words of v1: swap is memory and swap together, bytes and operations of
 * devices are two lists, no limit is 2^64-1.
 */
import { deviceLines } from "../cgroup-stat-text.ts";
import type { Counter, ReadStat, Shape } from "./event-stats.ts";
import {
  counter,
  fields,
  memoryEntry,
  multiple,
  omitting,
  pressure,
  sum,
  UNLIMITED,
} from "./event-stats-text.ts";

export function statsOfV2(read: ReadStat, pageSizes: readonly string[]): Shape {
  const file = (name: string): string | undefined => read("", name);
  return {
    cpu: cpu(file),
    cpuset: {
      cpu_exclusive: 0,
      mem_hardwall: 0,
      mem_exclusive: 0,
      memory_migrate: 0,
      memory_spread_page: 0,
      memory_spread_slab: 0,
      memory_pressure: 0,
      sched_load_balance: 0,
      sched_relax_domain_level: 0,
    },
    memory: memory(file),
    pids: pids(file),
    blkio: blockIo(file),
    hugetlb: hugepages(file, pageSizes),
    intel_rdt: {},
    network_interfaces: null,
  };
}

type ReadFile = (name: string) => string | undefined;

function withPressure(shape: Shape, text: string | undefined): Shape {
  const psi = pressure(text);
  return psi ? { ...shape, psi } : shape;
}

function cpu(read: ReadFile): Shape {
  const stat = fields(read("cpu.stat"));
  const ns = (name: string): Counter => multiple(stat.get(name) ?? 0, 1000n);
  const shape = {
    usage: omitting({ total: ns("usage_usec"), kernel: ns("system_usec"), user: ns("user_usec") }, ["total"]),
    throttling: omitting(
      {
        periods: stat.get("nr_periods") ?? 0,
        throttledPeriods: stat.get("nr_throttled") ?? 0,
        throttledTime: ns("throttled_usec"),
      },
      ["periods", "throttledPeriods", "throttledTime"],
    ),
  };
  return withPressure(shape, read("cpu.pressure"));
}

function memory(read: ReadFile): Shape {
  const raw = fields(read("memory.stat"));
  const events = fields(read("memory.events"));
  const usage = {
    limit: counter(read("memory.max")),
    usage: counter(read("memory.current")),
    max: counter(read("memory.peak")),
    failcnt: events.get("max") ?? 0,
  };
  const swapLimit = counter(read("memory.swap.max"));
  const swap = {
    limit: swapLimit === UNLIMITED ? UNLIMITED : sum(swapLimit, usage.limit),
    usage: sum(counter(read("memory.swap.current")), usage.usage),
    max: 0,
    failcnt: fields(read("memory.swap.events")).get("max") ?? 0,
  };
  const none = memoryEntry({ limit: 0, usage: 0, max: 0, failcnt: 0 });
  const shape = omitting(
    {
      cache: raw.get("file") ?? 0,
      usage: memoryEntry(usage),
      swap: memoryEntry(swap),
      kernel: none,
      kernelTCP: none,
      raw: Object.fromEntries(raw),
    },
    ["cache"],
  );
  return withPressure(shape, read("memory.pressure"));
}

function pids(read: ReadFile): Shape {
  const limit = counter(read("pids.max"));
  const shape = { current: counter(read("pids.current")), limit: limit === UNLIMITED ? 0 : limit };
  return omitting(shape, ["current", "limit"]);
}

/** "254:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0" */
function blockIo(read: ReadFile): Shape {
  const bytes: Shape[] = [];
  const operations: Shape[] = [];
  for (const { major, minor, rest } of deviceLines(read("io.stat"))) {
    const add = (list: Shape[], op: string, key: string): void => {
      const found = new RegExp(`(?:^| )${key}=(\\d+)`).exec(rest);
      if (!found) return;
      list.push(omitting({ major, minor, op, value: counter(found[1]) }, ["major", "minor", "value"]));
    };
    add(bytes, "Read", "rbytes");
    add(bytes, "Write", "wbytes");
    add(operations, "Read", "rios");
    add(operations, "Write", "wios");
  }
  const shape = omitting({ ioServiceBytesRecursive: bytes, ioServicedRecursive: operations }, [
    "ioServiceBytesRecursive",
    "ioServicedRecursive",
  ]);
  return withPressure(shape, read("io.pressure"));
}

function hugepages(read: ReadFile, pageSizes: readonly string[]): Shape {
  const entries = pageSizes.flatMap((size): [string, Shape][] => {
    const usage = read(`hugetlb.${size}.current`);
    if (usage === undefined) return [];
    const entry = { usage: counter(usage), failcnt: fields(read(`hugetlb.${size}.events`)).get("max") ?? 0 };
    return [[size, omitting(entry, ["usage"])]];
  });
  return Object.fromEntries(entries);
}
