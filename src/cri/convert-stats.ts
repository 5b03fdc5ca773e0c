/** Use of resources, as it is answered. */
import type { Container } from "../engine/container.ts";
import type { ContainerStatsFilter, ContainerUsage } from "../engine/resources.ts";
import type { ContainerStats } from "./generated/runtime/v1/ContainerStats.ts";
import type { ContainerStatsFilter__Output } from "./generated/runtime/v1/ContainerStatsFilter.ts";
import type { FilesystemUsage } from "./generated/runtime/v1/FilesystemUsage.ts";
import type { UInt64Value } from "./generated/runtime/v1/UInt64Value.ts";

export function containerStatsFilter(filter: ContainerStatsFilter__Output | null): ContainerStatsFilter {
  if (!filter) return {};
  return {
    ...(filter.id === "" ? {} : { id: filter.id }),
    ...(filter.pod_sandbox_id === "" ? {} : { podSandboxId: filter.pod_sandbox_id }),
    labels: filter.label_selector,
  };
}

export function containerStatsMessage({ config, id }: Container, usage: ContainerUsage): ContainerStats {
  const timestamp = usage.timestampNs.toString();
  return {
    attributes: { id, metadata: config.metadata, labels: config.labels, annotations: config.annotations },
    cpu: {
      timestamp,
      usage_core_nano_seconds: count(usage.cpuUsageNs),
      ...(usage.cpuNanoCores === undefined ? {} : { usage_nano_cores: count(usage.cpuNanoCores) }),
    },
    memory: {
      timestamp,
      working_set_bytes: count(usage.memoryWorkingSetBytes),
      usage_bytes: count(usage.memoryUsageBytes),
      rss_bytes: count(usage.memoryRssBytes),
      page_faults: count(usage.memoryPageFaults),
      major_page_faults: count(usage.memoryMajorPageFaults),
      ...(usage.memoryAvailableBytes === undefined
        ? {}
        : { available_bytes: count(usage.memoryAvailableBytes) }),
    },
    swap: {
      timestamp,
      swap_usage_bytes: count(usage.swapUsageBytes),
      ...(usage.swapAvailableBytes === undefined
        ? {}
        : { swap_available_bytes: count(usage.swapAvailableBytes) }),
    },
    ...(usage.filesystem
      ? {
          writable_layer: filesystemUsageMessage(
            usage.filesystem.directory,
            { bytes: usage.filesystem.usedBytes, inodes: usage.filesystem.inodesUsed },
            usage.filesystem.timestampNs,
          ),
        }
      : {}),
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
