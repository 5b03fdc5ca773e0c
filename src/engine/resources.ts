/** Resource limits and their use, as front ends state and read them. Zero and empty mean "not given". */
import type { ResourceLimits } from "../oci/spec-input.ts";

/** Limits as they are asked for. */
export type LinuxResources = ResourceLimits;

export interface ContainerUsage {
  containerId: string;
  /** Nanoseconds since the epoch, of the reading. */
  timestampNs: bigint;
  cpuUsageNs: bigint;
  /** Undefined until two samples exist. */
  cpuNanoCores?: bigint;
  memoryUsageBytes: number;
  memoryWorkingSetBytes: number;
  memoryRssBytes: number;
  memoryPageFaults: number;
  memoryMajorPageFaults: number;
  /** Limit less working set; undefined without a limit. */
  memoryAvailableBytes?: number;
  swapUsageBytes: number;
  swapAvailableBytes?: number;
  /** Of the writable layer. */
  filesystem?: { directory: string; usedBytes: number; inodesUsed: number; timestampNs: bigint };
}

export interface ContainerStatsFilter {
  id?: string;
  podSandboxId?: string;
  labels?: Record<string, string>;
}
