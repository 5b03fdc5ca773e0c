/**
 * The daemon's side of the shims: starting one, finding it again after a restart, talking to it.
 *
 *   spawn ─▶ created ──start──▶ running ──▶ exited ──delete──▶ gone
 *              (init waits        (exec, attach,    (exit record on disk,
 *               before exec)       resize, kill)     shim still answers)
 *
 * One shim process has one container. It is nobody's child, lives in its own session outside the daemon's cgroup,
 * and listens on a socket in its directory (state/shims/ID). Connections come and go; each control connection gets
 * the exit event. An exec or attach has a connection of its own, so a slow reader blocks only itself.
 *
 * Contract: `wait` resolves for a container that has exited before the call, or while no daemon ran, from the exit
 * record on disk. When the shim itself was killed, `wait` resolves with `shimLost` (exit code 255) instead of
 * hanging. Calls on a shim that is gone reject with "unavailable"; a signal for a process that is gone, "not-found".
 */
import type { Readable, Writable } from "node:stream";

export interface ExitRecord {
  /** 0–255; 128 + signal for a death by signal. */
  exitCode: number;
  /** Signal number, 0 for none. */
  signal: number;
  /** Nanoseconds since the epoch. */
  exitedAtNs: bigint;
  /** The cgroup's out-of-memory killer hit a process of the container. */
  oomKilled: boolean;
  /** True when the shim died and the true code is unknown. */
  shimLost: boolean;
}

/** How the container's output is written. */
export interface ShimLog {
  /** Absolute path of the CRI log file; its directory must exist. Opened O_NOFOLLOW | O_APPEND | O_CREAT, 0640. */
  path: string;
}

/** A group as Cgroup.entries gives it: both are there on a hybrid host. */
export interface ShimCgroup {
  /** In the v2 hierarchy. */
  unifiedDirectory?: string;
  /** Of the v1 hierarchies. */
  tasksFiles: string[];
}

export interface ShimStart {
  /** Container id, or pod sandbox id for the pause process of a shared PID namespace. */
  id: string;
  /**
   * The compiled plan (src/oci/plan.ts) of the container's init process, or what makes it, and all that it names, while
   * the shim's program starts. What that throws `start` throws.
   */
  plan: Uint8Array | (() => Promise<Uint8Array>);
  /** Undefined: output goes to no log. */
  log: ShimLog | undefined;
  terminal: boolean;
  /** Keep a pipe for the container's standard input; else it reads /dev/null. */
  stdin: boolean;
  /** Close standard input when the first attached client that sends it has gone. */
  stdinOnce: boolean;
  /** cgroup directory that holds the out-of-memory counters, as Cgroup.memoryDirectory gives it. */
  memoryCgroupDirectory: string | undefined;
  /** For the shim process itself, outside the daemon's group. */
  shimCgroup: ShimCgroup;
  /** Start the container's command at once, without a separate `start` call. */
  startNow: boolean;
}

/** The plan of a start, made now where it is to be made. */
export async function planOf({ plan }: Pick<ShimStart, "plan">): Promise<Uint8Array> {
  return typeof plan === "function" ? plan() : plan;
}

export interface ShimExecOptions {
  /** The compiled plan of the exec process (compileExecPlan): joins the container of `initPid`. */
  plan: Uint8Array;
  terminal: boolean;
  stdin: boolean;
  /** Kill the process when the connection goes away (exec for a client), or let it run. */
  killOnDisconnect: boolean;
}

/** A process's input and output, with back-pressure: what is not read is not taken from the process. */
export interface ProcessSession {
  /** Undefined where standard input was not asked for. End it for half-close. */
  stdin: Writable | undefined;
  stdout: Readable;
  /** Undefined with a terminal. */
  stderr: Readable | undefined;
  resize(width: number, height: number): Promise<void>;
  /**
   * Resolves with its end, which the shim tells after all output; rejects with unavailable where the shim's connection
   * ends before it.
   */
  wait(): Promise<{ exitCode: number; signal: number }>;
  /** Leaves; the process goes on (attach), or is killed (exec with killOnDisconnect). */
  close(): void;
}

export interface ShimExec extends ProcessSession {
  readonly pid: number;
  kill(signal: number): Promise<void>;
}

export interface Shim {
  readonly id: string;
  /** Pid of the shim itself and of the container's init, in the host's PID namespace. */
  readonly shimPid: number;
  readonly initPid: number;
  /** When the container was launched, in nanoseconds since the epoch. */
  readonly launchedAtNs: bigint;
  /** Lets a created container execute its command. @throws failed-precondition when it already did. */
  start(signal: AbortSignal): Promise<void>;
  /**
   * Sends a signal to init, by pidfd. Rejects with not-found when it has exited, with unavailable when the shim
   * does not answer.
   */
  kill(signal: number): Promise<void>;
  /** Kills the shim itself, and with it the container, if it does not answer: the last resort. */
  endIfStuck(): Promise<void>;
  /** See the contract above. */
  wait(): Promise<ExitRecord>;
  exec(options: ShimExecOptions, signal: AbortSignal): Promise<ShimExec>;
  attach(signal: AbortSignal): Promise<ProcessSession>;
  resize(width: number, height: number): Promise<void>;
  /** Opens the log path anew. On failure the old file stays in use and no new one was created. */
  reopenLog(): Promise<void>;
  /**
   * Ends the shim after its container has exited and all output is in the log, and deletes its directory. While
   * the log's disk is full it waits; ShimManager.discard does not. Idempotent.
   */
  delete(): Promise<void>;
  /** Drops the daemon's connection; the shim goes on. */
  disconnect(): void;
}

export interface ShimManager {
  /** Spawns a shim and its container. @throws GantryError with the plan's failing operation explained. */
  start(options: ShimStart, signal: AbortSignal): Promise<Shim>;
  /**
   * Finds the shim of this id again. Resolves also when the shim has gone but left an exit record, or nothing
   * (`wait` then gives shimLost). Undefined where there never was one, or it never came to launch anything.
   * @throws unavailable for one that lives and does not answer.
   */
  connect(id: string): Promise<Shim | undefined>;
  /** Ids that have a directory. */
  list(): Promise<string[]>;
  /** Kills the processes and deletes the directory of a shim that belongs to no record. */
  discard(id: string): Promise<void>;
}
