/**
 * Control groups of containers, on v1, v2 and the hybrid layout, through the cgroupfs or the systemd driver.
 *
 * Story: `create` makes the directories and writes the limits before the container exists; the launcher puts the
 * first process in (`entries`); `stats`, `update`, `freeze` while it lives; `remove` kills what is left and
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
  pids: number;
  oomKills: number;
}

/** @throws GantryError internal where a value can no longer be put back, naming the files. */
export type UndoUpdate = () => Promise<void>;

export interface Cgroup {
  /** Path as in cgroupsPath: "/kubepods/pod1/ab12…". */
  readonly path: string;
  entries(): CgroupEntries;
  /** v1: the memory controller's directory; v2: the group's. For OOM detection by the shim. */
  memoryDirectory(): string | undefined;
  /** Resolves with what puts the old values back, for a caller whose own next step fails. */
  update(resources: Resources): Promise<UndoUpdate>;
  /** Refuses what `create` or `update` would refuse before their first write; the group need not exist. */
  check(resources: Resources): void;
  stats(): Promise<CgroupStats>;
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  /** Whether it is frozen now; false where it does not exist. */
  isFrozen(): boolean;
  /** Pids of the group and its descendants. */
  processes(): Promise<number[]>;
  /** SIGKILL to all processes, by cgroup.kill where there is one. */
  kill(): Promise<void>;
  remove(signal: AbortSignal): Promise<void>;
  /** Deletes the group unless a process or a group is in it; kills nothing. False where something stays. */
  removeIfEmpty(): Promise<boolean>;
}

export interface CgroupManager {
  /** "v1" (also hybrid) or "v2". */
  readonly version: "v1" | "v2";
  readonly driver: "cgroupfs" | "systemd";
  /** @throws invalid-argument for a path with "..", failed-precondition for a limit whose controller is missing. */
  create(path: string, resources: Resources): Promise<Cgroup>;
  /** A group made earlier, by this process or one before it. It need not exist. */
  load(path: string): Cgroup;
  /** The path of a container's group below a pod's cgroup parent, in this driver's syntax. */
  containerPath(cgroupParent: string, containerId: string): string;
}
