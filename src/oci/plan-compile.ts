/**
 * Compiles an OCI runtime configuration into a plan: everything that the native half does between clone and exec,
 * in order. All decisions are made here; the interpreter makes none.
 *
 * The order: cgroup and limits, while the process is still as powerful as its launcher; namespaces; the root
 * filesystem and everything in it, reached by descriptor from the host's root; hooks; pivot; identity; gate;
 * command. The configuration is taken as checked (config-check.ts); what no plan can express is refused with
 * invalid-argument or unimplemented.
 */
import { checkSysctls } from "../base/sysctl.ts";
import type { CgroupEntries } from "./cgroup.ts";
import { addDevices } from "./plan-devices.ts";
import { addHooks } from "./plan-hooks.ts";
import type { NetDeviceMove } from "./net-devices.ts";
import { beginHostPhase, needsHostPhase } from "./plan-host-phase.ts";
import { addMount, rootPath } from "./plan-mounts.ts";
import {
  addCgroupNamespace,
  addJoins,
  addTimeNamespace,
  addUserNamespace,
  namespacePlan,
  type NamespacePlan,
} from "./plan-namespaces.ts";
import {
  addCommand,
  addIdentity,
  addLimits,
  addSchedulerAndListener,
  addSecurityLabels,
  addStreams,
  type PlanSeccomp,
} from "./plan-process.ts";
import { addPivot, addRootfs, labelledRootfs, type PlanRootfs } from "./plan-rootfs.ts";
import { addPersonality, addScheduling } from "./plan-scheduling.ts";
import { PLAN_TABLE, PlanWriter } from "./plan.ts";
import type { Process, Spec } from "./runtime-spec.ts";

export { compileExecPlan, type ExecPlanOptions } from "./plan-exec.ts";
export type { PlanRootfs } from "./plan-rootfs.ts";
export type { PlanSeccomp } from "./plan-process.ts";

/**
 * Where the process stops before it executes its command. "wait": until launch_open_gate (the shim's `start`).
 * "none": not at all. fifo: until a byte arrives in this existing fifo (gantry-oci start).
 */
export type PlanGate = "wait" | "none" | { fifo: string };

export interface PlanOptions {
  rootfs: PlanRootfs;
  /** Directories to have in the root, made where they are missing. */
  directories?: readonly string[];
  /** SELinux label of the files of the root filesystem and of new filesystems; only for a kernel that has it. */
  mountLabel?: string;
  /** What mounts of type "image" name as their source. */
  images?: ReadonlyMap<string, PlanRootfs>;
  /** Host directory to mount the rootfs on, for hooks that need the path; default: nowhere visible. */
  rootfsTarget?: string;
  cgroup: CgroupEntries;
  gate: PlanGate;
  /**
   * "exec" runs spec.process.args; "pause" the built-in process of a shared PID namespace, and "end" one that ends at
   * once, both without a program.
   */
  command: "exec" | "pause" | "end";
  seccomp?: PlanSeccomp;
  /** Fail before the gate when the command cannot be found. Default: only for a fifo gate. */
  checkCommand?: boolean;
  /** chroot instead of pivot_root, for a root filesystem on an initramfs. */
  noPivot?: boolean;
  /** Join a new session keyring of this name. Kernels without keyrings are tolerated. */
  keyring?: string;
  /** Descriptors 3 … 3+n-1 that the command inherits. */
  preserveFds?: number;
  /** Of linux.netDevices, as they have been looked up. */
  netDevices?: readonly NetDeviceMove[];
  /** State for the hooks' standard input, without `status` and `pid`, which are added. */
  hookState?: Record<string, unknown>;
  /** Continue when a lower oom_score_adj is refused for lack of CAP_SYS_RESOURCE. Default true. */
  tolerateOomScore?: boolean;
  /** The root filesystem's owners are those of an image; the container's user namespace gets them by id-mapped mounts. */
  idMapRootfs?: boolean;
  /** Root filesystem and bind mounts are on paths that the container's user namespace cannot reach. */
  hostPhase?: boolean;
  /** For tests: take the ways of the oldest supported kernel, without mount_setattr(2) and lowerdir+. */
  oldKernel?: boolean;
}

/** Without a command there is nothing to be: the user that no configuration names, without capabilities. */
const NO_PROCESS: Process = { user: { uid: 0, gid: 0 }, cwd: "/" };

function launchFlags(process: Process, options: PlanOptions): number {
  const { gateWait, gateFifo, terminal, oldKernel } = PLAN_TABLE.constants.launch;
  const gate = options.gate === "wait" ? gateWait : options.gate === "none" ? 0 : gateFifo;
  return gate | (process.terminal ? terminal : 0) | (options.oldKernel ? oldKernel : 0);
}

/** Before sysctls, which may be about them. */
function addNetDevices(plan: PlanWriter, devices: readonly NetDeviceMove[]): void {
  if (devices.length === 0) return;
  plan.add("rendezvous", {});
  for (const device of devices) plan.add("parentNetDevice", device);
  plan.add("release", {});
}

/** Sysctls of the host's namespaces are refused: a configuration must not change the host (CVE-2022-0811). */
function addKernelValues(plan: PlanWriter, spec: Spec): void {
  const types = new Set(spec.linux?.namespaces?.map((namespace) => namespace.type));
  const own = { network: types.has("network"), ipc: types.has("ipc"), uts: types.has("uts") };
  for (const { path, value } of checkSysctls(spec.linux?.sysctl ?? {}, own))
    plan.add("sysctl", { path, value });
  if (spec.hostname) plan.add("hostname", { name: spec.hostname });
  if (spec.domainname) plan.add("domainname", { name: spec.domainname });
}

/** The hooks before the pivot: the launcher's while the process waits, then the process's own. */
function addCreateHooks(plan: PlanWriter, spec: Spec, state: Record<string, unknown>): void {
  const directory = typeof state["bundle"] === "string" ? state["bundle"] : "";
  const launcher = [...(spec.hooks?.prestart ?? []), ...(spec.hooks?.createRuntime ?? [])];
  if (launcher.length > 0) {
    plan.add("rendezvous", {});
    addHooks(plan, "parentHook", launcher, state, directory);
    plan.add("release", {});
  }
  addHooks(plan, "hook", spec.hooks?.createContainer, state, directory);
}

function usesHostPhase(spec: Spec, options: PlanOptions): boolean {
  return (options.idMapRootfs ?? false) || (options.hostPhase ?? false) || needsHostPhase(spec);
}

function addPower(
  plan: PlanWriter,
  spec: Spec,
  process: Process,
  namespaces: NamespacePlan,
  options: PlanOptions,
): void {
  const tolerate = options.tolerateOomScore ?? true;
  const newUser = namespaces.isNew("user") && namespaces.forkFlags === undefined;
  if (options.cgroup.tasksFiles.length > 0) plan.add("cgroupJoin", { files: options.cgroup.tasksFiles });
  if (!newUser) addLimits(plan, process, false, tolerate);
  addScheduling(plan, process, spec.linux);
  if (namespaces.has("user")) addSecurityLabels(plan, process);
  if (usesHostPhase(spec, options))
    beginHostPhase(plan, spec.linux, options.idMapRootfs ?? false, process.user.uid);
  addJoins(plan, namespaces);
  plan.hostPhase?.end();
  if (namespaces.isNew("user") && spec.linux && !plan.hostPhase) {
    addUserNamespace(plan, spec.linux, () => {
      if (newUser) addLimits(plan, process, true, tolerate);
    });
  }
  addTimeNamespace(plan, spec.linux, namespaces);
  if (namespaces.has("user")) plan.add("becomeRoot", {});
  if (options.keyring !== undefined) plan.add("keyring", { name: options.keyring });
  addCgroupNamespace(plan, namespaces);
}

function addRoot(
  plan: PlanWriter,
  spec: Spec,
  process: Process,
  namespaces: NamespacePlan,
  options: PlanOptions,
): void {
  const state = options.hookState ?? {};
  const change = {
    ownMounts: namespaces.isNew("mount"),
    propagation: spec.linux?.rootfsPropagation,
    noPivot: options.noPivot ?? false,
    readonly: spec.root?.readonly ?? false,
    mapping: options.idMapRootfs ? spec.linux : undefined,
  };
  const opener = plan.hostPhase?.plan ?? plan;
  if (typeof options.gate === "object") opener.add("openFifo", { path: options.gate.fifo });
  const { mountLabel: label = "" } = options;
  addRootfs(
    plan,
    labelledRootfs(options.rootfs, label),
    options.rootfsTarget ?? "",
    change,
    options.oldKernel ?? false,
  );
  const images = options.images ?? new Map<string, PlanRootfs>();
  const bindCgroup = namespaces.has("user") && !namespaces.has("cgroup");
  const sources = { cgroup: options.cgroup, images, classic: options.oldKernel ?? false, label, bindCgroup };
  for (const mount of spec.mounts ?? []) addMount(plan, mount, sources);
  addDevices(plan, spec);
  addNetDevices(plan, options.netDevices ?? []);
  addKernelValues(plan, spec);
  for (const path of options.directories ?? []) plan.add("makeDirectory", { path: rootPath(path) });
  if (process.cwd !== "/") plan.add("makeDirectory", { path: rootPath(process.cwd) });
  addCreateHooks(plan, spec, state);
  addStreams(plan, process, true);
  for (const path of spec.linux?.readonlyPaths ?? []) plan.add("readonlyPath", { path: rootPath(path) });
  for (const path of spec.linux?.maskedPaths ?? []) plan.add("maskPath", { path: rootPath(path) });
  if (!namespaces.has("user")) addSecurityLabels(plan, process);
  addPivot(plan, options.rootfs, change);
}

/**
 * The plan of a container's init process.
 * @throws GantryError invalid-argument for a value that the kernel could not mean, naming it.
 */
export function compilePlan(spec: Spec, options: PlanOptions): Uint8Array {
  const process = spec.process ?? NO_PROCESS;
  const namespaces = namespacePlan(spec.linux, usesHostPhase(spec, options));
  const plan = new PlanWriter();
  plan.add("launch", {
    cloneFlags: namespaces.cloneFlags,
    flags: launchFlags(process, options),
    cgroupDirectory: options.cgroup.unifiedDirectory ?? "",
  });
  addPower(plan, spec, process, namespaces, options);
  addRoot(plan, spec, process, namespaces, options);
  addPersonality(plan, spec.linux);
  addIdentity(plan, process, {
    seccomp: options.seccomp,
    preserveFds: options.preserveFds ?? 0,
    checkCommand: options.command === "exec" && (options.checkCommand ?? typeof options.gate === "object"),
  });
  addSchedulerAndListener(plan, process, options.seccomp);
  if (options.gate !== "none") plan.add("gate", {});
  addHooks(plan, "hook", spec.hooks?.startContainer, options.hookState ?? {}, "");
  if (options.command === "exec") addCommand(plan, process, options.seccomp);
  else plan.add(options.command, {});
  return plan.finish();
}
