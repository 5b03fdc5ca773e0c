/** Use of resources, as it is answered. */
import type {
  ContainerStatsFilter,
  ContainerUsage,
  GroupUsage,
  InterfaceCounters,
  PodInterfaces,
  PodStatsFilter,
  PodUsage,
  Pressure,
  PressureLine,
} from "../engine/resources.ts";
import type { ContainerStats } from "./generated/runtime/v1/ContainerStats.ts";
import type { ContainerStatsFilter__Output } from "./generated/runtime/v1/ContainerStatsFilter.ts";
import type { FilesystemUsage } from "./generated/runtime/v1/FilesystemUsage.ts";
import type { NetworkInterfaceUsage } from "./generated/runtime/v1/NetworkInterfaceUsage.ts";
import type { NetworkUsage } from "./generated/runtime/v1/NetworkUsage.ts";
import type { PodSandboxStats } from "./generated/runtime/v1/PodSandboxStats.ts";
import type { PodSandboxStatsFilter__Output } from "./generated/runtime/v1/PodSandboxStatsFilter.ts";
import type { PsiData } from "./generated/runtime/v1/PsiData.ts";
import type { PsiStats } from "./generated/runtime/v1/PsiStats.ts";
import type { UInt64Value } from "./generated/runtime/v1/UInt64Value.ts";

export function containerStatsFilter(filter: ContainerStatsFilter__Output | null): ContainerStatsFilter {
  if (!filter) return {};
  return {
    ...(filter.id === "" ? {} : { id: filter.id }),
    ...(filter.pod_sandbox_id === "" ? {} : { podSandboxId: filter.pod_sandbox_id }),
    labels: filter.label_selector,
  };
}

export function podStatsFilter(filter: PodSandboxStatsFilter__Output | null): PodStatsFilter {
  if (!filter) return {};
  return { ...(filter.id === "" ? {} : { id: filter.id }), labels: filter.label_selector };
}

export function containerStatsMessage(usage: ContainerUsage): ContainerStats {
  const { container, filesystem } = usage;
  const { id, config } = container;
  return {
    attributes: { id, metadata: config.metadata, labels: config.labels, annotations: config.annotations },
    ...processorAndMemory(usage),
    swap: {
      timestamp: usage.timestampNs.toString(),
      swap_usage_bytes: count(usage.swapUsageBytes),
      swap_available_bytes: optionalCount(usage.swapAvailableBytes),
    },
    writable_layer: filesystem
      ? filesystemUsageMessage(
          filesystem.directory,
          { bytes: filesystem.usedBytes, inodes: filesystem.inodesUsed },
          filesystem.timestampNs,
        )
      : null,
  };
}

export function podStatsMessage(usage: PodUsage): PodSandboxStats {
  const { sandbox, network } = usage;
  const { id, config } = sandbox;
  const timestamp = usage.timestampNs.toString();
  return {
    attributes: { id, metadata: config.metadata, labels: config.labels, annotations: config.annotations },
    linux: {
      ...processorAndMemory(usage),
      network: network ? networkMessage(network) : null,
      process: { timestamp, process_count: count(usage.processes) },
      containers: usage.containers.map(containerStatsMessage),
    },
  };
}

/** What containers and pods have in the same form. */
function processorAndMemory(usage: GroupUsage): Pick<ContainerStats, "cpu" | "memory" | "io"> {
  const timestamp = usage.timestampNs.toString();
  return {
    cpu: {
      timestamp,
      usage_core_nano_seconds: count(usage.cpuUsageNs),
      usage_nano_cores: optionalCount(usage.cpuNanoCores),
      psi: pressureMessage(usage.cpuPressure),
    },
    memory: {
      timestamp,
      working_set_bytes: count(usage.memoryWorkingSetBytes),
      available_bytes: optionalCount(usage.memoryAvailableBytes),
      usage_bytes: count(usage.memoryUsageBytes),
      rss_bytes: count(usage.memoryRssBytes),
      page_faults: count(usage.memoryPageFaults),
      major_page_faults: count(usage.memoryMajorPageFaults),
      psi: pressureMessage(usage.memoryPressure),
    },
    // There is nothing in it but the pressure.
    io: usage.ioPressure ? { timestamp, psi: pressureMessage(usage.ioPressure) } : null,
  };
}

function pressureMessage(pressure: Pressure | undefined): PsiStats | null {
  return pressure ? { Full: pressureLine(pressure.full), Some: pressureLine(pressure.some) } : null;
}

function pressureLine(line: PressureLine | undefined): PsiData | null {
  if (!line) return null;
  // Below 2^53 nanoseconds a number is exact: a hundred days of nothing but stalling.
  const { totalUs, avg10, avg60, avg300 } = line;
  return { Total: totalUs * 1000, Avg10: avg10, Avg60: avg60, Avg300: avg300 };
}

function networkMessage({ timestampNs, primary, others }: PodInterfaces): NetworkUsage {
  return {
    timestamp: timestampNs.toString(),
    default_interface: primary ? interfaceMessage(primary) : null,
    interfaces: others.map(interfaceMessage),
  };
}

function interfaceMessage(counters: InterfaceCounters): NetworkInterfaceUsage {
  return {
    name: counters.name,
    rx_bytes: count(counters.rxBytes),
    rx_errors: count(counters.rxErrors),
    tx_bytes: count(counters.txBytes),
    tx_errors: count(counters.txErrors),
  };
}

/** @param directory any path on the filesystem. */
export function filesystemUsageMessage(
  directory: string,
  usage: { bytes: number; inodes: number },
  timestampNs: bigint,
): FilesystemUsage {
  return {
    timestamp: timestampNs.toString(),
    fs_id: { mountpoint: directory },
    used_bytes: count(usage.bytes),
    inodes_used: count(usage.inodes),
  };
}

function count(value: number | bigint): UInt64Value {
  return { value: typeof value === "bigint" ? value.toString() : value };
}

function optionalCount(value: number | bigint | undefined): UInt64Value | null {
  return value === undefined ? null : count(value);
}
