/**
 * Compiles an OCI runtime configuration into a plan: everything that the native half does between clone and exec,
 * in order. All decisions are made here; the interpreter makes none.
 *
 * The configuration is taken as checked (config-check.ts); what no plan can express is refused with
 * invalid-argument or unimplemented.
 */
import { GantryError } from "../base/errors.ts";
import type { CgroupEntries } from "./cgroup.ts";
import type { NamespaceType, Process, Spec } from "./runtime-spec.ts";

/** How the root filesystem is mounted; the same shape as the snapshotter's RootfsMount. */
export type PlanRootfs =
  | { type: "overlay"; lower: string[]; upper?: string; work?: string; options: string[] }
  | { type: "bind"; source: string; readonly: boolean };

/** A compiled seccomp filter: an array of struct sock_filter, and SECCOMP_FILTER_FLAG_* for seccomp(2). */
export interface PlanSeccomp {
  program: Uint8Array;
  flags: number;
}

/**
 * Where the process stops before it executes its command. "wait": until launch_open_gate (the shim's `start`).
 * "none": not at all. fifo: until a byte arrives in this existing fifo (gantry-oci start).
 */
export type PlanGate = "wait" | "none" | { fifo: string };

export interface PlanOptions {
  rootfs: PlanRootfs;
  /** Host directory to mount the rootfs on, for hooks that need the path; default: nowhere visible. */
  rootfsTarget?: string;
  cgroup: CgroupEntries;
  gate: PlanGate;
  /** "exec" runs spec.process.args; "pause" the built-in process of a shared PID namespace, without a program. */
  command: "exec" | "pause";
  seccomp?: PlanSeccomp;
  /** Fail before the gate when the command cannot be found. Default: only for a fifo gate. */
  checkCommand?: boolean;
  /** chroot instead of pivot_root, for a root filesystem on an initramfs. */
  noPivot?: boolean;
  /** Join a new session keyring of this name. Kernels without keyrings are tolerated. */
  keyring?: string;
  /** Descriptors 3 … 3+n-1 that the command inherits. */
  preserveFds?: number;
  /** State for the hooks' standard input, without `status` and `pid`, which are added. */
  hookState?: Record<string, unknown>;
  /** Continue when a lower oom_score_adj is refused for lack of CAP_SYS_RESOURCE. Default true. */
  tolerateOomScore?: boolean;
}

export interface ExecPlanOptions {
  /** The container's namespaces that are not the host's (also "mount"); joined through a pidfd of its init. */
  namespaces: readonly NamespaceType[];
  cgroup: CgroupEntries;
  seccomp?: PlanSeccomp;
  /** The container was started with noPivot: its root is the init's, not that of its mount namespace. */
  noPivot?: boolean;
  preserveFds?: number;
  tolerateOomScore?: boolean;
}

/**
 * The plan of a container's init process.
 * @throws GantryError invalid-argument for a value that the kernel could not mean, naming it.
 */
export function compilePlan(spec: Spec, options: PlanOptions): Uint8Array {
  void spec;
  void options;
  throw new GantryError("unimplemented", "compilePlan");
}

/** The plan of a further process in a running container. `process.terminal` gives it a pty. */
export function compileExecPlan(process: Process, options: ExecPlanOptions): Uint8Array {
  void process;
  void options;
  throw new GantryError("unimplemented", "compileExecPlan");
}
