/**
 * Control groups of containers, on v1, v2 and the hybrid layout, through the cgroupfs or the systemd driver.
 *
 * Story: `create` makes the directories and writes the limits before the container exists; the launcher puts the
 * first process in (`entries`); `update`, `freeze` while it lives, and the manager's `readStats`; `remove` kills what is left and
 * deletes the directories.
 *
 * Contract: `create` that fails leaves nothing. `update` is transactional: on failure the old values are back.
 * `remove` is idempotent and takes an abort signal, as a process in uninterruptible sleep can hold a directory.
 */
import type { Resources } from "./runtime-spec.ts";

/**
 * Where a process is put, before it does anything else: cloned into `unifiedDirectory` (CLONE_INTO_CGROUP; where
 * that fails, the process writes "0" to its cgroup.procs), and then the process itself writes "0" to each of
 * `tasksFiles`, the `tasks` files of v1 hierarchies. Both are there on a hybrid host.
 *
 * "0" from the process itself, single-threaded, into `tasks`, and not its pid into cgroup.procs from outside:
 * only the former moves a process without the kernel's lock against all forks and exits, whose first taking waits
 * for an RCU grace period (6 to 20 ms against 0.2 ms for ten hierarchies).
 */
export interface CgroupEntries {
  unifiedDirectory?: string;
  tasksFiles: string[];
}

/** One line of a pressure file: how long tasks were stalled. */
export interface PressureLine {
  totalUs: number;
  /** Percent of the last 10, 60 and 300 seconds. */
  avg10: number;
  avg60: number;
  avg300: number;
}

/** Pressure stall information of one resource (psi(8) of the kernel's documentation). */
export interface Pressure {
  /** At least one task was stalled. */
  some: PressureLine;
  /** All of them were; older kernels have no such line for the processor. */
  full?: PressureLine;
}

export interface CgroupStats {
  /** Nanoseconds since the epoch, of the reading. */
  timestampNs: bigint;
  cpuUsageNs: bigint;
  memoryUsageBytes: number;
  /** Usage without inactive file pages. */
  memoryWorkingSetBytes: number;
  memoryRssBytes: number;
  memoryPageFaults: number;
  memoryMajorPageFaults: number;
  /** Undefined where there is no limit. */
  memoryLimitBytes?: number;
  swapUsageBytes: number;
  swapLimitBytes?: number;
  /** Tasks, that is threads, of the group and those below it. */
  pids: number;
  /** Processes of the group itself. */
  processes: number;
  /** Absent where the kernel keeps none for the group, which is not the same as no pressure. */
  cpuPressure?: Pressure;
  memoryPressure?: Pressure;
  ioPressure?: Pressure;
}

/** What a group did to one block device. */
export interface DeviceIo {
  major: number;
  minor: number;
  readBytes: number;
  writtenBytes: number;
  reads: number;
  writes: number;
}

export interface HugepageUsage {
  /** As the kernel writes it: "2MB". */
  pageSize: string;
  usageBytes: number;
  /** v1 only. */
  peakBytes?: number;
}

/** Everything that the kernel counts of a group, for metrics. */
export interface CgroupDetails extends CgroupStats {
  /** Processes of the group, and on v2 of those below it, that the OOM killer has killed. */
  oomKills: number;
  cpuUserNs: bigint;
  cpuSystemNs: bigint;
  cpuPeriods: number;
  cpuThrottledPeriods: number;
  cpuThrottledNs: bigint;
  memoryCacheBytes: number;
  memoryMappedFileBytes: number;
  memoryActiveFileBytes: number;
  memoryInactiveFileBytes: number;
  memoryKernelBytes: number;
  /** Undefined on kernels that do not keep it. */
  memoryPeakBytes?: number;
  /** How often the limit was met. */
  memoryLimitHits: number;
  /** Of the group itself, without those below it. */
  ownPageFaults: number;
  ownMajorPageFaults: number;
  /** Undefined where there is no limit. */
  pidsLimit?: number;
  io: DeviceIo[];
  hugepages: HugepageUsage[];
}

/** @throws GantryError internal where a value can no longer be put back, naming the files. */
export type UndoUpdate = () => Promise<void>;

export interface Cgroup {
  /** Path as in cgroupsPath: "/kubepods/pod1/ab12…", or with the systemd driver "kubepods-pod1.slice:gantry:ab12…". */
  readonly path: string;
  entries(): CgroupEntries;
  /** As `entries`, for a further process of the container whose first one is `initPid`. */
  execEntries(initPid: number): CgroupEntries;
  /** v1: the memory controller's directory; v2: the group's. For OOM detection by the shim. */
  memoryDirectory(): string | undefined;
  /** Resolves with what puts the old values back, for a caller whose own next step fails. */
  update(resources: Resources): Promise<UndoUpdate>;
  /**
   * The first process is in: what kept the group until then goes. Nothing with the cgroupfs driver, whose groups need no
   * process. Idempotent.
   */
  entered(): Promise<void>;
  /** Keeps a group that was made earlier as long as this process lives, though all others leave it. */
  hold(): Promise<void>;
  /** Refuses what `create` or `update` would refuse before their first write; the group need not exist. */
  check(resources: Resources): void;
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  /** Whether it is frozen now; false where it does not exist. */
  isFrozen(): boolean;
  /** Whether there is such a group; on v1, in any hierarchy. */
  exists(): boolean;
  /** Pids of the group and its descendants. */
  processes(): Promise<number[]>;
  /** SIGKILL to all processes, by cgroup.kill where there is one. */
  kill(): Promise<void>;
  remove(signal: AbortSignal): Promise<void>;
  /** Deletes the group unless a process or a group is in it; kills nothing. False where something stays. */
  removeIfEmpty(): Promise<boolean>;
  /**
   * Deletes what stands beside a group that a client of v1 has made: on a hybrid host the directories in the v2
   * hierarchy, this and those above, as far as nothing is in them. The client's own stay. Nothing on other hosts.
   */
  removeShadow(): Promise<void>;
}

/** Readings of several groups, by their position in the request; each is parsed when it is asked for. */
export interface Readings<Reading> {
  /** Undefined for a group that does not exist. */
  at(index: number): Reading | undefined;
  /** Pids of the processes of the group itself. */
  processIds(index: number): number[];
}

export interface CgroupManager {
  /** "v1" (also hybrid) or "v2". */
  readonly version: "v1" | "v2";
  readonly driver: "cgroupfs" | "systemd";
  /** @throws invalid-argument for a path with "..", failed-precondition for a limit whose controller is missing. */
  create(path: string, resources: Resources): Promise<Cgroup>;
  /** A group made earlier, by this process or one before it. It need not exist. */
  load(path: string): Cgroup;
  /**
   * One reading of many groups at once, off the main thread, with a reading for each path. What this version
   * or this kernel does not count is 0, or absent where the field may be.
   */
  readStats(paths: readonly string[]): Promise<Readings<CgroupStats>>;
  /** The same with everything that the kernel counts. */
  readDetails(paths: readonly string[]): Promise<Readings<CgroupDetails>>;
  /**
   * The path of a container's group below a pod's cgroup parent, in this driver's syntax.
   * @throws invalid-argument for a parent that this driver has no group for.
   */
  containerPath(cgroupParent: string, containerId: string): string;
  /** The path of a pod's own group below another, in this driver's syntax. */
  podPath(cgroupParent: string, podSandboxId: string): string;
  /** Where the group is below the root of its hierarchies, whoever makes it: "/kubepods.slice/kubepods-pod1.slice". */
  directoryPath(path: string): string;
}
