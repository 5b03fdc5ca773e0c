/**
 * Operations that are the same for a container's first process and for one executed in it: limits, identity,
 * command. The order is part of the contract:
 *
 *   limits … ─ chdir? ─ no_new_privs ─ bounding set ─ user ─ capabilities ─ chdir ─ close ─ GATE ─ filter ─ exec
 *
 * The working directory is tried as root and then as the user, as either may be the one who has access. A filter
 * without no_new_privs needs CAP_SYS_ADMIN, which is kept until it is loaded. One with a listener is loaded before the gate.
 */
import { GantryError } from "../base/errors.ts";
import { capabilityMask } from "./capabilities.ts";
import { CAP_SYS_ADMIN, RLIMITS } from "./plan-constants.ts";
import { addScheduler, known } from "./plan-scheduling.ts";
import { PLAN_TABLE, type PlanValues, type PlanWriter } from "./plan.ts";
import type { Process } from "./runtime-spec.ts";

/** A compiled seccomp filter: an array of struct sock_filter, and SECCOMP_FILTER_FLAG_* for seccomp(2). */
export interface PlanSeccomp {
  program: Uint8Array;
  flags: number;
  /** The agent that its listener goes to, with the state that comes along; the pid comes between two parts. */
  listener?: { path: string; state: readonly string[] };
}

const REFUSED = PLAN_TABLE.constants.tolerate.refused;
const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const NO_ID = 0xffffffff;

/** A limit as the kernel takes it; what is not a number of 64 bits (-1, 2^64 rounded up) means none. */
function limitValue(value: number | bigint): bigint {
  return value < 0 || value >= 2 ** 64 ? 2n ** 64n - 1n : BigInt(value);
}

/** `parentRlimit` and `parentOomScore` for a process that has no power over its own, in a user namespace. */
export function addLimits(
  plan: PlanWriter,
  process: Process,
  parent: boolean,
  tolerateOomScore: boolean,
): void {
  for (const { type, soft, hard } of process.rlimits ?? []) {
    const resource = known(RLIMITS, type, "rlimit");
    const values = { resource, soft: limitValue(soft), hard: limitValue(hard) };
    plan.add(parent ? "parentRlimit" : "rlimit", values);
  }
  if (process.oomScoreAdj !== undefined) {
    const values = { value: process.oomScoreAdj, flags: tolerateOomScore ? REFUSED : 0 };
    plan.add(parent ? "parentOomScore" : "oomScore", values);
  }
}

/** AppArmor profile and SELinux label of the command. */
export function addSecurityLabels(plan: PlanWriter, process: Process): void {
  const profile = process.apparmorProfile;
  /* The module's own file where there are several modules (Linux 5.8); the shared one would be the first module's. */
  if (profile) plan.add("securityLabel", { attribute: "apparmor/exec", label: `exec ${profile}` });
  if (process.selinuxLabel) plan.add("securityLabel", { attribute: "exec", label: process.selinuxLabel });
}

/** The terminal, or the owner of the streams that were given; then a session of its own. */
export function addStreams(plan: PlanWriter, process: Process, devConsole: boolean): void {
  if (process.terminal) {
    const { width = 0, height = 0 } = process.consoleSize ?? {};
    plan.add("console", { width: width & 0xffff, height: height & 0xffff, devConsole: devConsole ? 1 : 0 });
  }
}

function userId(value: number, what: string): number {
  if (!Number.isInteger(value) || value < 0 || value >= NO_ID)
    throw new GantryError("invalid-argument", `${what} ${value} is not an id`);
  return value;
}

function userValues(process: Process): PlanValues<"user"> {
  const { uid, gid, umask, additionalGids } = process.user;
  const groups = Uint32Array.from((additionalGids ?? []).map((id) => userId(id, "group")));
  return {
    uid: userId(uid, "uid"),
    gid: userId(gid, "gid"),
    umask: umask ?? 0o022,
    flags: uid === 0 ? 0 : PLAN_TABLE.constants.user.keepCapabilities,
    groups: new Uint8Array(groups.buffer),
  };
}

/** The command's possible places: itself if it has a slash, else one for each directory of the PATH it is given. */
export function commandCandidates(name: string, env: readonly string[]): string[] {
  if (name.includes("/")) return [name];
  const path = env.findLast((entry) => entry.startsWith("PATH="))?.slice("PATH=".length) ?? DEFAULT_PATH;
  return [...new Set(path.split(":").map((directory) => `${directory === "" ? "." : directory}/${name}`))];
}

export interface IdentityOptions {
  seccomp: PlanSeccomp | undefined;
  preserveFds: number;
  checkCommand: boolean;
}

/** The sets to have until the end, and those to wait with at the gate. */
function capabilitySets(process: Process, seccomp: boolean): PlanValues<"capabilities">[] {
  const names = process.capabilities ?? {};
  const permitted = capabilityMask(names.permitted ?? []);
  const inheritable = capabilityMask(names.inheritable ?? []);
  const final = {
    effective: capabilityMask(names.effective ?? []),
    permitted,
    inheritable,
    /* One that is not in both cannot be granted, and is no reason to fail (config.md, "Linux Process"). */
    ambient: capabilityMask(names.ambient ?? []) & permitted & inheritable,
  };
  if (!seccomp || process.noNewPrivileges || final.effective & CAP_SYS_ADMIN) return [final];
  return [
    {
      effective: final.effective | CAP_SYS_ADMIN,
      permitted: final.permitted | CAP_SYS_ADMIN,
      inheritable: final.inheritable,
      ambient: 0n,
    },
    final,
  ];
}

/** From the session to where only the gate, the filter and the command are left. */
export function addIdentity(plan: PlanWriter, process: Process, options: IdentityOptions): void {
  const path = process.cwd;
  if (!path.startsWith("/"))
    throw new GantryError("invalid-argument", `working directory ${JSON.stringify(path)} is not absolute`);
  const [first] = capabilitySets(process, options.seccomp !== undefined);
  plan.add("ownStdio", { uid: userId(process.user.uid, "uid") });
  plan.add("session", {});
  plan.add("workingDirectory", { path, flags: REFUSED });
  if (process.noNewPrivileges) plan.add("noNewPrivileges", {});
  plan.add("boundingSet", { mask: capabilityMask(process.capabilities?.bounding ?? []) });
  plan.add("user", userValues(process));
  if (first) plan.add("capabilities", first);
  plan.add("workingDirectory", { path, flags: 0 });
  const command = process.args?.[0];
  if (options.checkCommand && command !== undefined) {
    plan.add("checkCommand", { name: command, candidates: commandCandidates(command, process.env ?? []) });
  }
  plan.add("closeDescriptors", { preserve: options.preserveFds });
}

/**
 * What the launcher must be there for, so that it comes before the gate: the scheduler, and the filter of a process whose
 * listener goes to an agent. What comes after is subject to the filter. Handing its listener over takes a thread, which a
 * deadline process cannot have, and which a real-time one could keep from running: the scheduler is given afterwards.
 */
export function addSchedulerAndListener(
  plan: PlanWriter,
  process: Process,
  seccomp: PlanSeccomp | undefined,
): void {
  if (!seccomp?.listener) {
    if (process.scheduler) plan.add("rendezvous", {});
    addScheduler(plan, process);
    if (process.scheduler) plan.add("release", {});
    return;
  }
  plan.add("seccompListen", { flags: seccomp.flags, program: seccomp.program });
  plan.add("parentListener", { path: seccomp.listener.path, state: [...seccomp.listener.state] });
  addScheduler(plan, process);
  plan.add("release", {});
  addFinalCapabilities(plan, process);
}

function addFinalCapabilities(plan: PlanWriter, process: Process): void {
  const [, final] = capabilitySets(process, true);
  if (final) plan.add("capabilities", final);
}

/** The filter that has no listener and the command itself: the plan's last operations. */
export function addCommand(plan: PlanWriter, process: Process, seccomp: PlanSeccomp | undefined): void {
  const [name] = process.args ?? [];
  if (!name) throw new GantryError("invalid-argument", "no command to execute");
  if (seccomp && !seccomp.listener) {
    plan.add("seccomp", { flags: seccomp.flags, program: seccomp.program });
    addFinalCapabilities(plan, process);
  }
  const env = process.env ?? [];
  plan.add("exec", { name, candidates: commandCandidates(name, env), args: process.args ?? [], env });
}
