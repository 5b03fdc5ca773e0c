/**
 * How the processes of a container are run: processors, memory nodes, I/O priority, scheduler, personality.
 *
 * All but the scheduler are inherited, and set while the process has its launcher's power. A scheduler may not be: a
 * deadline process cannot fork, and SCHED_FLAG_RESET_ON_FORK takes effect at the first fork. So the launcher gives it to
 * the process where nothing is left to fork but hooks.
 */
import { GantryError } from "../base/errors.ts";
import {
  IO_CLASSES,
  MEMORY_POLICIES,
  MEMORY_POLICY_FLAGS,
  PERSONALITIES,
  SCHEDULER_FLAGS,
  SCHEDULERS,
} from "./plan-constants.ts";
import type { PlanWriter } from "./plan.ts";
import type { Linux, Process } from "./runtime-spec.ts";

/** @throws GantryError invalid-argument. */
export function known<T>(table: Readonly<Record<string, T>>, name: string, what: string): T {
  const value = Object.hasOwn(table, name) ? table[name] : undefined;
  if (value === undefined)
    throw new GantryError("invalid-argument", `unknown ${what} ${JSON.stringify(name)}`);
  return value;
}

/** A list of numbers ("0-3,7") as a mask of whole words. @throws GantryError invalid-argument. */
export function listMask(list: string, what: string): Uint8Array {
  const bytes: number[] = [];
  for (const part of list.split(",")) {
    const match = /^\s*(\d{1,5})(?:-(\d{1,5}))?\s*$/.exec(part);
    const [first, last] = match ? [Number(match[1]), Number(match[2] ?? match[1])] : [1, 0];
    if (first > last) throw new GantryError("invalid-argument", `malformed ${what} ${JSON.stringify(list)}`);
    for (let number = first; number <= last; number++) {
      while (bytes.length <= number >> 3) bytes.push(0);
      bytes[number >> 3] = (bytes[number >> 3] ?? 0) | (1 << (number & 7));
    }
  }
  return Uint8Array.from({ length: Math.ceil(bytes.length / 8) * 8 }, (_, index) => bytes[index] ?? 0);
}

export function addAffinity(plan: PlanWriter, list: string | undefined): void {
  if (list?.trim()) plan.add("cpuAffinity", { mask: listMask(list, "processor list") });
}

/** What is inherited. In the container's cpuset, which decides about the nodes. */
export function addScheduling(plan: PlanWriter, process: Process, linux: Linux | undefined): void {
  const { ioPriority } = process;
  if (ioPriority) {
    const level = ioPriority.priority ?? 0;
    if (!Number.isInteger(level) || level < 0 || level > 7)
      throw new GantryError("invalid-argument", `I/O priority ${level} is not between 0 and 7`);
    plan.add("ioPriority", { priority: (known(IO_CLASSES, ioPriority.class, "I/O class") << 13) | level });
  }
  const policy = linux?.memoryPolicy;
  if (policy) {
    const flags = (policy.flags ?? []).map((name) => known(MEMORY_POLICY_FLAGS, name, "memory policy flag"));
    const mode = known(MEMORY_POLICIES, policy.mode, "memory policy mode");
    plan.add("memoryPolicy", {
      mode: flags.reduce((sum, flag) => sum | flag, mode),
      nodes: policy.nodes?.trim() ? listMask(policy.nodes, "list of memory nodes") : new Uint8Array(),
    });
  }
}

/** The launcher's part, while the process waits: after the last fork of the plan's own. */
export function addScheduler(plan: PlanWriter, { scheduler }: Process): void {
  if (!scheduler) return;
  const flags = (scheduler.flags ?? []).map((name) => known(SCHEDULER_FLAGS, name, "scheduler flag"));
  plan.add("parentScheduler", {
    policy: known(SCHEDULERS, scheduler.policy, "scheduler policy"),
    flags: flags.reduce((sum, flag) => sum | flag, 0n),
    nice: scheduler.nice ?? 0,
    priority: scheduler.priority ?? 0,
    runtime: BigInt(scheduler.runtime ?? 0),
    deadline: BigInt(scheduler.deadline ?? 0),
    period: BigInt(scheduler.period ?? 0),
  });
}

export function addPersonality(plan: PlanWriter, linux: Linux | undefined): void {
  const { personality } = linux ?? {};
  if (!personality) return;
  if (personality.flags?.length)
    throw new GantryError(
      "invalid-argument",
      `unknown personality flag ${JSON.stringify(personality.flags[0])}`,
    );
  plan.add("personality", { persona: known(PERSONALITIES, personality.domain, "personality") });
}
