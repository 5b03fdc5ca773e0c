import assert from "node:assert/strict";
import { test } from "node:test";
import { GantryError } from "../base/errors.ts";
import { exampleSpec } from "./command/spec.ts";
import { parseProcess, parseSpec } from "./config-check.ts";
import { parseExactJson, stringifyExactJson } from "./exact-json.ts";

/** The example with one member, named by its path, replaced. */
function changed(path: string, value: unknown): string {
  const spec = structuredClone(exampleSpec()) as unknown as Record<string, unknown>;
  const keys = path.split(".");
  const last = keys.pop() ?? "";
  const target = keys.reduce<Record<string, unknown>>(
    (at, key) => (at[key] ??= {}) as Record<string, unknown>,
    spec,
  );
  target[last] = value;
  return stringifyExactJson(spec);
}

test("a good configuration comes back as it is, without nulls", () => {
  assert.deepEqual(parseSpec(JSON.stringify(exampleSpec()), "config.json"), exampleSpec());
  const spec = parseSpec(
    changed("hooks", { prestart: null, poststop: [{ path: "/bin/x", args: null }] }),
    "config.json",
  );
  assert.deepEqual(spec.hooks, { poststop: [{ path: "/bin/x" }] });
});

test("no limit, 2^64-1, is a limit like any other", () => {
  const unlimited = [{ type: "RLIMIT_CORE", hard: 2n ** 64n - 1n, soft: 0 }];
  const spec = parseSpec(changed("process.rlimits", unlimited), "config.json");
  assert.deepEqual(spec.process?.rlimits, unlimited);
});

test("what is wrong is named by its path", () => {
  const cases: [string, unknown][] = [
    ["ociVersion", "2.0.0"],
    ["ociVersion", 1],
    ["root.path", ""],
    ["linux.rootfsPropagation", "rrshared"],
    ["linux.gidMappings", [{ containerID: 0, hostID: 0, size: 1 }]],
    ["process.cwd", "relative"],
    ["process.user.uid", -1],
    ["process.user.uid", 4294967296],
    ["process.user.gid", "0"],
    ["process.user.additionalGids", [1.5]],
    ["process.args", ["a\0b"]],
    ["process.capabilities.bounding", ["CAP_NOTHING"]],
    ["process.capabilities.ambient", ["chown"]],
    ["process.rlimits", [{ type: "RLIMIT_NOTHING", hard: 1, soft: 1 }]],
    ["process.oomScoreAdj", 1001],
    ["mounts", [{ destination: "" }]],
    ["mounts", [{ destination: "/a", options: [1] }]],
    ["hooks.prestart", [{ path: "relative" }]],
    ["hooks.poststop", [{ path: "/a", timeout: 0 }]],
    ["linux.namespaces", [{ type: "nothing" }]],
    ["linux.namespaces", [{ type: "pid" }, { type: "pid" }]],
    ["linux.namespaces", [{ type: "net", path: "x" }]],
    ["linux.uidMappings", [{ containerID: 0, hostID: 0, size: 0 }]],
    ["linux.devices", [{ type: "x", path: "/dev/x" }]],
    ["linux.resources.memory.limit", "1G"],
    ["linux.seccomp", { defaultAction: 1 }],
    ["linux.seccomp.defaultAction", "SCMP_ACT_NOTHING"],
    ["linux.seccomp", { defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_Z80"] }],
    ["linux.seccomp", { defaultAction: "SCMP_ACT_ALLOW", flags: ["SECCOMP_FILTER_FLAG_NOTHING"] }],
    ["linux.seccomp", { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: [], action: "SCMP_ACT_LOG" }] }],
    ["linux.seccomp", { defaultAction: "SCMP_ACT_ALLOW", listenerPath: "relative" }],
    ["linux.seccomp", { defaultAction: "SCMP_ACT_ALLOW", listenerMetadata: "x" }],
    ["process.scheduler", { policy: "SCHED_NOTHING" }],
    ["process.scheduler", { policy: "SCHED_OTHER", nice: 20 }],
    ["process.scheduler", { policy: "SCHED_FIFO", nice: 1, priority: 1 }],
    ["process.scheduler", { policy: "SCHED_BATCH", priority: 1 }],
    ["process.scheduler", { policy: "SCHED_OTHER", flags: ["SCHED_FLAG_NOTHING"] }],
    ["process.ioPriority", { class: "IOPRIO_CLASS_BE", priority: 8 }],
    ["process.ioPriority.class", "IOPRIO_CLASS_NONE"],
    ["process.execCPUAffinity.initial", "all"],
    ["process.rlimits", ["RLIMIT_CPU", "RLIMIT_CPU"].map((type) => ({ type, soft: 1, hard: 1 }))],
    ["linux.personality.domain", "SOLARIS"],
    ["linux.personality", { domain: "LINUX", flags: ["X"] }],
    ["linux.timeOffsets", { boottime: { secs: 1 } }],
    ["linux.timeOffsets", { realtime: { secs: 1 } }],
    ["linux.memoryPolicy.mode", "MPOL_NOTHING"],
    ["linux.memoryPolicy", { mode: "MPOL_BIND", nodes: "zero" }],
    ["linux.memoryPolicy", { mode: "MPOL_BIND", nodes: "0", flags: ["MPOL_F_NOTHING"] }],
    ["linux.intelRdt.closID", "a/b"],
    ["linux.intelRdt.closID", "mon_groups"],
    ["linux.intelRdt.memBwSchema", "L3:0=f"],
    ["linux.intelRdt.schemata", ["L3:0=f\nMB:0=10"]],
    ["linux.intelRdt.enableCMT", true],
    ["linux.netDevices", { "a b": {} }],
    ["linux.netDevices", { eth0: { name: "longer-than-a-name" } }],
    ["linux.netDevices", { eth0: { name: "%s" } }],
    ["linux.sysctl", { a: 1 }],
  ];
  for (const [path, value] of cases) {
    assert.throws(
      () => parseSpec(changed(path, value), "config.json"),
      (error) =>
        error instanceof GantryError &&
        error.kind === "invalid-argument" &&
        error.message.startsWith(`config.json: ${path}`),
      `${path} ${JSON.stringify(value)}`,
    );
  }
});

test("parts that do not go together", () => {
  const without = JSON.parse(JSON.stringify(exampleSpec())) as ReturnType<typeof exampleSpec>;
  if (without.linux) without.linux.namespaces = [{ type: "mount" }];
  assert.throws(() => parseSpec(JSON.stringify(without), "config.json"), /hostname/);
  assert.throws(
    () => parseSpec(JSON.stringify({ ...without, linux: { netDevices: { eth0: {} } } }), "config.json"),
    /hostname|netDevices/,
  );
  assert.throws(
    () => parseSpec(changed("linux.uidMappings", [{ containerID: 0, hostID: 1, size: 1 }]), "config.json"),
    /uidMappings/,
  );
});

test("text that is no configuration", () => {
  for (const text of ["", "{", "[]", "null", '"x"', "1"])
    assert.throws(() => parseSpec(text, "config.json"), GantryError, text);
  assert.throws(() => parseProcess("{}", "process.json"), /process\.json: (user|cwd)/);
});

test("integers beyond 2^53 stay exact", () => {
  const seccomp = {
    defaultAction: "SCMP_ACT_ALLOW",
    syscalls: [
      {
        names: ["x"],
        action: "SCMP_ACT_KILL",
        args: [{ index: 0, value: (1n << 64n) - 1n, op: "SCMP_CMP_EQ" }],
      },
    ],
  };
  const spec = parseSpec(changed("linux.seccomp", seccomp), "config.json");
  assert.deepEqual(spec.linux?.seccomp, seccomp);
  assert.deepEqual(parseExactJson(stringifyExactJson(spec)), spec);
});
