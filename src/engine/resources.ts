/** Resource limits and their use, as front ends state and read them. Zero and empty mean "not given". */
import type { InterfaceCounters } from "../network/interface-counters.ts";
import type { CgroupDetails, Pressure } from "../oci/cgroup.ts";
import type { ResourceLimits } from "../oci/spec-input.ts";
import type { Container } from "./container.ts";
import type { PodSandbox } from "./pod-sandbox.ts";

export type { InterfaceCounters } from "../network/interface-counters.ts";
export type { Pressure, PressureLine } from "../oci/cgroup.ts";

/** Limits as they are asked for. */
export type LinuxResources = ResourceLimits;

/** Nothing is given; in an update, nothing changes. */
export const NO_RESOURCES: Readonly<LinuxResources> = Object.freeze({
  cpuPeriodUs: 0,
  cpuQuotaUs: 0,
  cpuShares: 0,
  memoryLimitBytes: 0,
  memorySwapLimitBytes: 0,
  oomScoreAdj: 0,
  cpusetCpus: "",
  cpusetMems: "",
  hugepageLimits: [],
  unified: {},
});

/** Use of resources by the processes of one cgroup. */
export interface GroupUsage {
  /** Nanoseconds since the epoch, of the reading. */
  timestampNs: bigint;
  cpuUsageNs: bigint;
  /** Undefined only where nothing is known of the time before. */
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
  /** Absent where the kernel keeps none for the cgroup. */
  cpuPressure?: Pressure;
  memoryPressure?: Pressure;
  ioPressure?: Pressure;
  processes: number;
}

/** The size of a writable layer when it was last walked. */
export interface LayerUsage {
  usedBytes: number;
  inodesUsed: number;
  timestampNs: bigint;
}

export interface ContainerUsage extends GroupUsage {
  container: Container;
  /** Of the writable layer; undefined until it has been walked for the first time. */
  filesystem?: LayerUsage & { directory: string };
}

export interface PodUsage extends GroupUsage {
  sandbox: PodSandbox;
  /** Undefined for a pod on the host's network, and for one that has been stopped. */
  network?: PodInterfaces;
  /** Those that run. */
  containers: ContainerUsage[];
}

export interface PodInterfaces {
  timestampNs: bigint;
  /** The one that the pod's addresses are on. */
  primary?: InterfaceCounters;
  /** The others, without loopback. */
  others: InterfaceCounters[];
}

export interface ContainerStatsFilter {
  id?: string;
  podSandboxId?: string;
  labels?: Record<string, string>;
}

export interface PodStatsFilter {
  id?: string;
  labels?: Record<string, string>;
}

/** Everything that is counted of a running container. */
export interface ContainerMeasures {
  container: Container;
  cgroupPath: string;
  counts: CgroupDetails;
  /** The devices of `counts.io`, in its order: "/dev/sda", or "" where it has no name. */
  deviceNames: string[];
  descriptors: number;
  sockets: number;
  /** Of its first process; undefined where it has none. */
  openFilesLimit?: number;
  layer?: LayerUsage;
  /** Of the filesystem that the writable layer is on. */
  capacity: FilesystemCapacity;
}

export interface PodMeasures {
  sandbox: PodSandbox;
  cgroupPath: string;
  /** Undefined for a pod on the host's network. */
  interfaces?: InterfaceCounters[];
  containers: ContainerMeasures[];
}

export interface FilesystemCapacity {
  /** What is mounted: "/dev/sda1". */
  device: string;
  sizeBytes: number;
  inodes: number;
  inodesFree: number;
}
