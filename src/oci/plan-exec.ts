/**
 * Compiles the plan of a further process in a running container. Everything of the host's is done and closed
 * before the process becomes visible in the container's PID namespace (CVE-2016-9962): it joins, closes all
 * descriptors, and goes on as a sibling that is born there.
 */
import type { CgroupEntries } from "./cgroup.ts";
import { CLONE_NEW } from "./plan-constants.ts";
import {
  addCommand,
  addIdentity,
  addLimits,
  addSchedulerAndListener,
  addSecurityLabels,
  addStreams,
  type PlanSeccomp,
} from "./plan-process.ts";
import { addAffinity, addPersonality, addScheduling } from "./plan-scheduling.ts";
import { PLAN_TABLE, PlanWriter } from "./plan.ts";
import type { Linux, NamespaceType, Process } from "./runtime-spec.ts";

export interface ExecPlanOptions {
  /** The container's namespaces that are not the host's (also "mount"); joined through a pidfd of its init. */
  namespaces: readonly NamespaceType[];
  cgroup: CgroupEntries;
  /** Of the container: memory policy and personality are those of all its processes. */
  linux?: Linux;
  seccomp?: PlanSeccomp;
  /** The container was started with noPivot: its root is the init's, not that of its mount namespace. */
  noPivot?: boolean;
  /** Join the container's session keyring of this name. */
  keyring?: string;
  preserveFds?: number;
  tolerateOomScore?: boolean;
  /** Host's id that the standard streams are given to before a user namespace is joined, in which they could not be. */
  stdioOwner?: number;
}

/**
 * `process.terminal` gives it a pty of the container's devpts.
 * @throws GantryError as compilePlan.
 */
export function compileExecPlan(process: Process, options: ExecPlanOptions): Uint8Array {
  const plan = new PlanWriter();
  const { terminal, joinPidfd } = PLAN_TABLE.constants.launch;
  const preserveFds = options.preserveFds ?? 0;
  const { tasksFiles, unifiedDirectory } = options.cgroup;
  /* Processors before the control group: it cannot be born there. */
  const early = Boolean(process.execCPUAffinity?.initial?.trim());
  plan.add("launch", {
    cloneFlags: 0n,
    flags: joinPidfd | (process.terminal ? terminal : 0),
    cgroupDirectory: early ? "" : (unifiedDirectory ?? ""),
  });
  addAffinity(plan, process.execCPUAffinity?.initial);
  const files = early && unifiedDirectory ? [...tasksFiles, `${unifiedDirectory}/cgroup.procs`] : tasksFiles;
  if (files.length > 0) plan.add("cgroupJoin", { files });
  addLimits(plan, process, false, options.tolerateOomScore ?? true);
  addAffinity(plan, process.execCPUAffinity?.final);
  addScheduling(plan, process, options.linux);
  addSecurityLabels(plan, process);
  const flags = options.namespaces.reduce((sum, type) => sum | CLONE_NEW[type], 0);
  if (options.stdioOwner !== undefined) plan.add("ownStdio", { uid: options.stdioOwner });
  const ownRoot = options.noPivot || !options.namespaces.includes("mount");
  plan.add("joinPidfd", { flags, root: ownRoot ? 1 : 0 });
  if (options.namespaces.includes("pid")) {
    plan.add("closeDescriptors", { preserve: preserveFds });
    plan.add("fork", { cloneFlags: 0n });
  }
  if (options.namespaces.includes("user")) plan.add("becomeRoot", {});
  if (options.keyring !== undefined) plan.add("keyring", { name: options.keyring });
  plan.add("currentRoot", {});
  addStreams(plan, process, false);
  addPersonality(plan, options.linux);
  addIdentity(plan, process, { seccomp: options.seccomp, preserveFds, checkCommand: false });
  addSchedulerAndListener(plan, process, options.seccomp);
  addCommand(plan, process, options.seccomp);
  return plan.finish();
}
