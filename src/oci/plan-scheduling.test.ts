/** Where in a plan the operations on scheduling stand, which decides what they do. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { compileExecPlan, compilePlan, type PlanOptions } from "./plan-compile.ts";
import { decodePlan } from "./plan-decode.ts";
import { listMask } from "./plan-scheduling.ts";
import type { PlanOperationName } from "./plan.ts";
import type { Process, Spec } from "./runtime-spec.ts";

const OPTIONS: PlanOptions = {
  rootfs: { type: "bind", source: "/root", readonly: false },
  cgroup: { tasksFiles: ["/cpu/tasks"] },
  gate: { fifo: "/fifo" },
  command: "exec",
};

const process: Process = {
  user: { uid: 0, gid: 0 },
  cwd: "/",
  args: ["run"],
  scheduler: { policy: "SCHED_DEADLINE", runtime: 1, deadline: 2n ** 60n, period: 3 },
  ioPriority: { class: "IOPRIO_CLASS_RT", priority: 3 },
  execCPUAffinity: { initial: "1", final: "2" },
};
const spec: Spec = {
  ociVersion: "1.3.0",
  process,
  linux: {
    namespaces: [{ type: "mount" }, { type: "pid", path: "/pid" }],
    personality: { domain: "LINUX32" },
    memoryPolicy: { mode: "MPOL_INTERLEAVE", nodes: "0-1,9", flags: ["MPOL_F_STATIC_NODES"] },
  },
};

const names = (plan: Uint8Array): PlanOperationName[] => decodePlan(plan).map(({ name }) => name);

/** The order of those that are there. */
function order(plan: Uint8Array, wanted: PlanOperationName[]): PlanOperationName[] {
  return names(plan).filter((name) => wanted.includes(name));
}

test("the launcher gives the scheduler after the last fork, and before the gate", () => {
  const plan = compilePlan(spec, OPTIONS);
  assert.deepEqual(order(plan, ["fork", "parentScheduler", "gate", "exec"]), [
    "fork",
    "parentScheduler",
    "gate",
    "exec",
  ]);
  const scheduler = decodePlan(plan).find(({ name }) => name === "parentScheduler");
  assert.deepEqual(scheduler?.values, {
    flags: 0n,
    runtime: 1n,
    deadline: 2n ** 60n,
    period: 3n,
    policy: 6,
    nice: 0,
    priority: 0,
  });
  const exec = compileExecPlan(process, { namespaces: ["pid"], cgroup: OPTIONS.cgroup });
  assert.deepEqual(order(exec, ["fork", "parentScheduler", "exec"]), ["fork", "parentScheduler", "exec"]);
});

test("processors before and after the control group are an exec's, not the first process's", () => {
  assert.ok(!names(compilePlan(spec, OPTIONS)).includes("cpuAffinity"));
  const unified = { tasksFiles: [], unifiedDirectory: "/group" };
  const exec = (execCPUAffinity: Process["execCPUAffinity"]): Uint8Array =>
    compileExecPlan(
      { ...process, ...(execCPUAffinity && { execCPUAffinity }) },
      { namespaces: [], cgroup: unified },
    );
  const plan = exec({ initial: "1", final: "2" });
  assert.deepEqual(order(plan, ["cpuAffinity", "cgroupJoin"]), ["cpuAffinity", "cgroupJoin", "cpuAffinity"]);
  const joined = decodePlan(plan).find(({ name }) => name === "cgroupJoin");
  assert.deepEqual(joined?.values, { files: ["/group/cgroup.procs"] });
  const later = decodePlan(exec({ initial: "", final: "2" }));
  assert.deepEqual(later[0]?.values, { cloneFlags: 0n, flags: 8, cgroupDirectory: "/group" });
  assert.ok(!later.some(({ name }) => name === "cgroupJoin"));
});

test("memory policy and personality are those of all processes", () => {
  const exec = compileExecPlan(process, { namespaces: [], cgroup: OPTIONS.cgroup, linux: spec.linux ?? {} });
  for (const plan of [compilePlan(spec, OPTIONS), exec]) {
    const policy = decodePlan(plan).find(({ name }) => name === "memoryPolicy");
    assert.deepEqual(policy?.values, { mode: 3 | (1 << 15), nodes: listMask("0,1,9", "list") });
    const inherited: PlanOperationName[] = ["cgroupJoin", "memoryPolicy", "personality"];
    assert.deepEqual(order(plan, inherited), inherited);
  }
});

test("a list of numbers is a mask of whole words", () => {
  assert.deepEqual(listMask(" 0 , 2-4 ", "list"), Uint8Array.of(0b11101, 0, 0, 0, 0, 0, 0, 0));
  assert.equal(listMask("64", "list").length, 16);
  for (const bad of ["x", "3-1", "1,", "-1", "100000"])
    assert.throws(() => listMask(bad, "list of nodes"), /malformed list of nodes/, bad);
});
