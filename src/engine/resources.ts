/** Resource limits and their use, as front ends state and read them. Zero and empty mean "not given". */

export interface LinuxResources {
  cpuPeriodUs: number;
  cpuQuotaUs: number;
  cpuShares: number;
  memoryLimitBytes: number;
  memorySwapLimitBytes: number;
  oomScoreAdj: number;
  cpusetCpus: string;
  cpusetMems: string;
  hugepageLimits: { pageSize: string; limitBytes: number }[];
  unified: Record<string, string>;
}

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
