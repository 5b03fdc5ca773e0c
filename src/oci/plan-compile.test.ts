import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import { shimProgram } from "../native/addon.ts";
import { compileExecPlan, compilePlan, type PlanOptions, type PlanRootfs } from "./plan-compile.ts";
import { decodePlan, dumpPlan } from "./plan-decode.ts";
import { PLAN_FINGERPRINT, PlanWriter, type PlanOperationName, type PlanValues } from "./plan.ts";
import type { Linux, Mount, Process, Spec } from "./runtime-spec.ts";

const OPTIONS: PlanOptions = {
  rootfs: {
    type: "overlay",
    lower: ["/layers/b", "/layers/a"],
    upper: "/up/u",
    work: "/up/w",
    options: ["index=off"],
  },
  cgroup: { tasksFiles: [] },
  gate: "wait",
  command: "exec",
};

function spec(process: Partial<Process> = {}, linux: Linux = {}, mounts: Mount[] = []): Spec {
  return {
    ociVersion: "1.3.0",
    process: { user: { uid: 0, gid: 0 }, cwd: "/", args: ["run"], env: ["PATH=/a::/b"], ...process },
    mounts,
    linux: { namespaces: [{ type: "mount" }], ...linux },
  };
}

const names = (plan: Uint8Array): PlanOperationName[] => decodePlan(plan).map(({ name }) => name);

function find<Name extends PlanOperationName>(plan: Uint8Array, name: Name): PlanValues<Name> {
  const found = decodePlan(plan).find((operation) => operation.name === name);
  assert.ok(found, name);
  return found.values as PlanValues<Name>;
}

describe("a plan", () => {
  test("labels the files of the root and of new filesystems, where it is told to", () => {
    const mountLabel = "u:object_r:f_t:s0:c1,c2";
    const mounts: Mount[] = [
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["mode=755"] },
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/v", type: "image", source: "v" },
    ];
    const images = new Map<string, PlanRootfs>([
      ["v", { type: "overlay", lower: ["/l/a", "/l/b"], options: [] }],
    ]);
    const plan = compilePlan(spec({}, {}, mounts), { ...OPTIONS, images, mountLabel });
    const root = find(plan, "rootOverlay");
    assert.deepEqual(root.options, ["index=off", `context=${mountLabel}`]);
    assert.match(root.classicData, /,context="u:object_r:f_t:s0:c1,c2"$/);
    assert.deepEqual(find(plan, "imageVolume").options, [`context=${mountLabel}`]);
    const filesystems = decodePlan(plan).filter(({ name }) => name === "mount");
    assert.deepEqual(
      filesystems.map(({ values }) => (values as PlanValues<"mount">).parameters),
      [["mode=755", `context=${mountLabel}`], []],
    );
    assert.deepEqual(find(compilePlan(spec(), OPTIONS), "rootOverlay").options, ["index=off"]);
  });

  test("is these bytes", () => {
    const plan = new PlanWriter();
    plan.add("launch", { cloneFlags: 0x20000n, flags: 1, cgroupDirectory: "" });
    plan.add("symlink", { directory: "/dev", name: "fd", target: "/proc/self/fd" });
    const bytes = Buffer.from(plan.finish());
    const fingerprint = Buffer.alloc(4);
    fingerprint.writeUInt32LE(PLAN_FINGERPRINT);
    assert.equal(
      bytes.toString("hex"),
      `47504c4e${fingerprint.toString("hex")}7000000002000000` +
        "01002000280000000000020000000000010000002000000000000000000000000000000000000000" +
        "1c002000380000002000000004000000250000000200000028000000" +
        "0d000000" +
        "2f64657600" +
        "666400" +
        "2f70726f632f73656c662f666400" +
        "0000",
    );
  });

  test("is understood by the native half, and not when it is damaged", () => {
    const plan = compilePlan(spec(), OPTIONS);
    const check = (input: Uint8Array): number | null =>
      spawnSync(shimProgram, ["launch", "--check", "--plan-fd", "0"], { input }).status;
    assert.equal(check(plan), 0);
    assert.equal(check(plan.subarray(0, plan.length - 8)), 1);
    assert.equal(check(new Uint8Array()), 1);
    for (const [offset, value] of [
      [0, 1],
      [4, plan[4] === 1 ? 2 : 1],
      [8, 1],
      [12, 1],
      [20, 0xff],
      [18, 0xff],
    ] as const) {
      const damaged = Uint8Array.from(plan);
      damaged[offset] = value;
      assert.equal(check(damaged), 1, `byte ${offset}`);
    }
  });

  test("sysctls that are the host's, or nobody's, are refused", () => {
    const network = { namespaces: [{ type: "mount" as const }, { type: "network" as const }] };
    const compiled = (sysctl: Record<string, string>, linux = {}): unknown =>
      compilePlan(spec({}, { ...linux, sysctl }), OPTIONS);
    assert.throws(() => compiled({ "kernel.core_pattern": "|/x" }), { kind: "invalid-argument" });
    assert.throws(() => compiled({ "net.ipv4.ip_forward": "1" }), { kind: "invalid-argument" });
    assert.ok(compiled({ "net.ipv4.ip_forward": "1" }, network));
  });

  test("has its operations in the order that keeps a container safe", () => {
    const plan = compilePlan(
      {
        ...spec(
          {
            noNewPrivileges: true,
            rlimits: [{ type: "RLIMIT_CORE", soft: 0, hard: 0 }],
            terminal: true,
            cwd: "/w",
          },
          {
            sysctl: { "kernel.msgmax": "1" },
            maskedPaths: ["/m"],
            readonlyPaths: ["/r"],
            namespaces: [{ type: "mount" }, { type: "cgroup" }, { type: "ipc" }],
          },
          [{ destination: "/proc", type: "proc" }],
        ),
        hostname: "h",
        root: { path: "r", readonly: true },
      },
      {
        ...OPTIONS,
        seccomp: { program: new Uint8Array(8), flags: 0 },
        cgroup: { tasksFiles: ["/cg/tasks"] },
      },
    );
    const order = names(plan).filter((name) => name !== "device" && name !== "symlink");
    assert.deepEqual(order, [
      "launch",
      "cgroupJoin",
      "rlimit",
      "unshare",
      "propagation",
      "rootOverlay",
      "mount",
      "sysctl",
      "hostname",
      "makeDirectory",
      "console",
      "readonlyPath",
      "maskPath",
      "pivot",
      "rootAttributes",
      "ownStdio",
      "session",
      "workingDirectory",
      "noNewPrivileges",
      "boundingSet",
      "user",
      "capabilities",
      "workingDirectory",
      "closeDescriptors",
      "gate",
      "seccomp",
      "exec",
    ]);
    assert.match(dumpPlan(plan), /^0 launch .*\n1 cgroupJoin \{"files":\["\/cg\/tasks"\]\}/);
  });

  test("keeps CAP_SYS_ADMIN for a filter without no_new_privs, and no longer", () => {
    const seccomp = { program: new Uint8Array(8), flags: 0 };
    const sets = (process: Partial<Process>): bigint[] =>
      decodePlan(compilePlan(spec(process), { ...OPTIONS, seccomp })).flatMap((operation) =>
        operation.name === "capabilities" ? [operation.values.effective] : [],
      );
    assert.deepEqual(sets({}), [1n << 21n, 0n]);
    assert.deepEqual(sets({ noNewPrivileges: true }), [0n]);
    assert.deepEqual(sets({ capabilities: { effective: ["CAP_SYS_ADMIN"] } }), [1n << 21n]);
    const order = names(compilePlan(spec(), { ...OPTIONS, seccomp })).slice(-4);
    assert.deepEqual(order, ["gate", "seccomp", "capabilities", "exec"]);
  });

  test("looks for the command in the PATH of its environment", () => {
    assert.deepEqual(find(compilePlan(spec(), OPTIONS), "exec").candidates, ["/a/run", "./run", "/b/run"]);
    const { candidates } = find(compilePlan(spec({ args: ["bin/x"] }), OPTIONS), "exec");
    assert.deepEqual(candidates, ["bin/x"]);
  });

  test("joins and forks for a PID namespace, and clones new ones", () => {
    const plain = compilePlan(spec({}, { namespaces: [{ type: "pid" }, { type: "mount" }] }), OPTIONS);
    assert.equal(find(plain, "launch").cloneFlags, 0x20020000n);
    assert.ok(!names(plain).includes("fork"));
    const namespaces = [
      { type: "pid" as const, path: "/p" },
      { type: "network" as const, path: "/n" },
      { type: "mount" as const },
    ];
    const joined = compilePlan(spec({}, { namespaces }), OPTIONS);
    assert.deepEqual(names(joined).slice(0, 4), ["launch", "joinNamespace", "joinNamespace", "fork"]);
    assert.equal(find(joined, "fork").cloneFlags, 0x20000n);
  });

  test("lets the launcher map the ids and set limits in a user namespace", () => {
    const uidMappings = [{ containerID: 0, hostID: 1000, size: 2 }];
    const linux: Linux = {
      namespaces: [{ type: "user" }, { type: "mount" }],
      uidMappings,
      gidMappings: uidMappings,
    };
    const plan = compilePlan(spec({ oomScoreAdj: 5 }, linux), OPTIONS);
    assert.deepEqual(names(plan).slice(1, 6), [
      "rendezvous",
      "parentIdMap",
      "parentOomScore",
      "release",
      "becomeRoot",
    ]);
    assert.deepEqual(find(plan, "parentIdMap"), { uids: "0 1000 2\n", gids: "0 1000 2\n" });
    assert.throws(() => compilePlan(spec({}, { namespaces: [{ type: "user" }] }), OPTIONS), /uidMappings/);
  });

  test("has overlay options for kernels that know no lowerdir+", () => {
    const { classicBase, classicData, lower } = find(compilePlan(spec(), OPTIONS), "rootOverlay");
    assert.deepEqual(lower, ["/layers/b", "/layers/a"]);
    assert.equal(classicBase, "/");
    assert.equal(classicData, "lowerdir=layers/b:layers/a,upperdir=up/u,workdir=up/w,index=off");
    const rootfs = { type: "overlay" as const, lower: ["/l/a:b/1", "/l/a:b/2,x"], options: [] };
    const escaped = find(compilePlan(spec(), { ...OPTIONS, rootfs }), "rootOverlay");
    assert.deepEqual([escaped.classicBase, escaped.classicData], ["/l/a:b", "lowerdir=1:2\\,x"]);
  });

  test("keeps what is mounted in the root from a host that shares its mounts", () => {
    const plan = compilePlan(
      spec({}, { rootfsPropagation: "rshared", namespaces: [{ type: "mount" }] }),
      OPTIONS,
    );
    const flags = decodePlan(plan).flatMap((operation) =>
      operation.name === "propagation" ? [operation.values.flags] : [],
    );
    assert.deepEqual(flags, [(1n << 20n) | 0x4000n, 1n << 18n]);
    assert.equal(find(plan, "pivot").flags, 2);
  });

  test("refuses what it cannot express", () => {
    const bad: [Partial<Process>, Linux, Mount[]][] = [
      [{ cwd: "relative" }, {}, []],
      [{ args: [] }, {}, []],
      [{ args: ["a\0b"] }, {}, []],
      [{ user: { uid: 2 ** 32, gid: 0 } }, {}, []],
      [{ user: { uid: 2 ** 32 - 1, gid: 0 } }, {}, []],
      [{ user: { uid: -1, gid: 0 } }, {}, []],
      [{ rlimits: [{ type: "RLIMIT_BOGUS", soft: 1, hard: 1 }] }, {}, []],
      [{ capabilities: { effective: ["CAP_BOGUS"] } }, {}, []],
      [{}, { namespaces: [{ type: "pid" }, { type: "pid" }] }, []],
      [{}, { rootfsPropagation: "sideways" }, []],
      [{}, { sysctl: { "../x": "1" } }, []],
      [{}, { sysctl: { "kernel/../x": "1" } }, []],
      [{}, { devices: [{ type: "x", path: "/dev/x" }] }, []],
      [{}, {}, [{ destination: "/x" }]],
      [{}, {}, [{ destination: "/x", type: "bind", source: "relative" }]],
      [{}, {}, [{ destination: "/x\0", type: "tmpfs" }]],
    ];
    for (const [process, linux, mounts] of bad) {
      const configuration = spec(process, linux, mounts);
      assert.throws(
        () => compilePlan(configuration, OPTIONS),
        { kind: "invalid-argument" },
        JSON.stringify(bad),
      );
    }
    const idmapped = [{ destination: "/x", type: "bind", source: "/y", options: ["idmap"] }];
    assert.throws(() => compilePlan(spec({}, {}, idmapped), OPTIONS), { kind: "invalid-argument" });
  });
});

test("an exec closes everything of the host's before it is in the PID namespace", () => {
  const plan = compileExecPlan(
    { user: { uid: 0, gid: 0 }, cwd: "/", args: ["x"] },
    { namespaces: ["pid", "mount", "network"], cgroup: { tasksFiles: ["/cg/tasks"] } },
  );
  assert.deepEqual(names(plan).slice(0, 6), [
    "launch",
    "cgroupJoin",
    "joinPidfd",
    "closeDescriptors",
    "fork",
    "currentRoot",
  ]);
  assert.deepEqual(find(plan, "joinPidfd"), { flags: 0x60020000, root: 0 });
});
