import assert from "node:assert/strict";
import { test } from "node:test";
import { GantryError } from "../base/errors.ts";
import { compileSeccomp } from "./seccomp-compile.ts";
import { DEFAULT_MASKED_PATHS, DEFAULT_READONLY_PATHS } from "./spec-defaults.ts";
import { generateSpec, processEnvironment } from "./spec-generate.ts";
import type { SpecInput, SpecMount } from "./spec-input.ts";

const host = { capabilities: (1n << 41n) - 1n, oomScoreAdjMin: -1000 };
const invalid = (error: unknown) => error instanceof GantryError && error.kind === "invalid-argument";

function input(change: Partial<SpecInput> = {}, process: Partial<SpecInput["process"]> = {}): SpecInput {
  return {
    process: {
      args: ["/bin/true"],
      env: [],
      cwd: "",
      terminal: false,
      user: { uid: 5, gid: 6, additionalGids: [6, 7] },
      capabilities: { add: [], drop: [], addAmbient: [] },
      noNewPrivileges: true,
      ...process,
    },
    privileged: false,
    rootfs: { path: "rootfs", readonly: false },
    namespaces: { pid: "new", network: { path: "/run/ns/net" }, ipc: "host", uts: { path: "/run/ns/uts" } },
    seccomp: { kind: "default" },
    mounts: [],
    podFiles: [{ destination: "/etc/hosts", source: "/pod/hosts", readonly: false }],
    devices: [],
    resources: {
      cpuPeriodUs: 0,
      cpuQuotaUs: 0,
      cpuShares: 0,
      memoryLimitBytes: 0,
      memorySwapLimitBytes: 0,
      oomScoreAdj: 100,
      cpusetCpus: "",
      cpusetMems: "",
      hugepageLimits: [],
      unified: {},
    },
    cgroupsPath: "/pods/a",
    sysctls: {},
    annotations: {},
    ...change,
  };
}
const bind = (destination: string, more: Partial<SpecMount> = {}): SpecMount => ({
  destination,
  source: "/host",
  readonly: false,
  recursiveReadonly: false,
  propagation: "private",
  options: [],
  ...more,
});
const generate = (change?: Partial<SpecInput>, process?: Partial<SpecInput["process"]>) =>
  generateSpec(input(change, process), host);
const destinations = (change: Partial<SpecInput>) =>
  generate(change).mounts?.map((mount) => mount.destination);

test("an ordinary container is confined", () => {
  const spec = generate();
  assert.deepEqual(spec.linux?.namespaces, [
    { type: "pid" },
    { type: "network", path: "/run/ns/net" },
    { type: "mount" },
    { type: "uts", path: "/run/ns/uts" },
  ]);
  assert.equal(spec.linux?.maskedPaths, DEFAULT_MASKED_PATHS);
  assert.equal(spec.linux?.readonlyPaths, DEFAULT_READONLY_PATHS);
  assert.deepEqual(spec.linux?.resources?.devices?.[0], { allow: false, access: "rwm" });
  assert.deepEqual(spec.process?.capabilities?.inheritable, []);
  assert.equal(spec.process?.cwd, "/");
  assert.equal(spec.process?.oomScoreAdj, 100);
  assert.ok(spec.linux?.seccomp);
  for (const path of ["/sys", "/sys/fs/cgroup"]) {
    assert.ok(spec.mounts?.find((mount) => mount.destination === path)?.options?.includes("ro"), path);
  }
  assert.ok(
    spec.mounts?.some((mount) => mount.destination === "/etc/hosts" && mount.source === "/pod/hosts"),
  );
});

test("a privileged container is not", () => {
  const spec = generate({ privileged: true });
  assert.deepEqual(
    [spec.linux?.maskedPaths, spec.linux?.readonlyPaths, spec.linux?.seccomp],
    [[], [], undefined],
  );
  assert.deepEqual(spec.linux?.resources?.devices, [{ allow: true, access: "rwm" }]);
  assert.equal(spec.process?.capabilities?.bounding?.length, 41);
  assert.ok(!spec.mounts?.find((mount) => mount.destination === "/sys")?.options?.includes("ro"));
});

test("what is the same for all is shared, so the seccomp program is compiled once", () => {
  const [one, two] = [generate({}, { env: ["A=1"] }), generate({}, { env: ["A=2"] })];
  assert.equal(one.linux?.seccomp, two.linux?.seccomp);
  assert.equal(
    compileSeccomp(one.linux?.seccomp ?? assert.fail()),
    compileSeccomp(two.linux?.seccomp ?? assert.fail()),
  );
  assert.equal(one.process?.capabilities, two.process?.capabilities);
  assert.notDeepEqual(one.process?.env, two.process?.env);
});

test("mounts: replaced defaults, depth order, propagation", () => {
  assert.equal(destinations({ mounts: [bind("/dev/shm")] })?.filter((path) => path === "/dev/shm").length, 1);
  const ownDev = destinations({ mounts: [bind("/dev/")] }) ?? [];
  assert.deepEqual(
    ownDev.filter((path) => path.startsWith("/dev")),
    ["/dev"],
  );
  assert.deepEqual(destinations({ mounts: [bind("/a/b/c"), bind("/a"), bind("/etc/hosts")] })?.slice(-3), [
    "/a",
    "/etc/hosts",
    "/a/b/c",
  ]);
  const propagated = generate({
    mounts: [bind("/x", { propagation: "bidirectional", readonly: true, options: ["noexec"] })],
  });
  assert.equal(propagated.linux?.rootfsPropagation, "rshared");
  assert.deepEqual(propagated.mounts?.find((mount) => mount.destination === "/x")?.options, [
    "rbind",
    "rshared",
    "ro",
    "noexec",
  ]);
  assert.throws(() => generate({ mounts: [bind("/x", { recursiveReadonly: true })] }), invalid);
  for (const path of ["/", "relative", "/..", "/a\0b"])
    assert.throws(() => generate({ mounts: [bind(path)] }), invalid, path);
});

test("in a user namespace the host's filesystems are bound, not mounted", () => {
  const spec = generate({ namespaces: { user: "new", pid: "host", network: "host", ipc: "host" } });
  for (const path of ["/proc", "/sys", "/dev/mqueue"]) {
    assert.equal(spec.mounts?.find((mount) => mount.destination === path)?.type, "bind", path);
  }
});

test("resources", () => {
  const base = input().resources;
  const resources = (change: Partial<typeof base>) =>
    generate({ resources: { ...base, ...change } }).linux?.resources;
  assert.deepEqual(resources({ memoryLimitBytes: 100 })?.memory, { limit: 100, swap: 100 });
  assert.deepEqual(resources({ memoryLimitBytes: 100, memorySwapLimitBytes: 300 })?.memory, {
    limit: 100,
    swap: 300,
  });
  assert.deepEqual(resources({ cpuQuotaUs: -1, cpuShares: 2 })?.cpu, { quota: -1, shares: 2 });
  assert.equal(resources({})?.memory, undefined);
  const limited = generateSpec(input({ resources: { ...base, oomScoreAdj: -998 } }), {
    ...host,
    oomScoreAdjMin: 0,
  });
  assert.equal(limited.process?.oomScoreAdj, 0);
});

test("sysctls of the container's own namespaces only, with plain values", () => {
  generate({ sysctls: { "net.ipv4.ip_forward": "1", "net/ipv4/conf/eth0.1/forwarding": "1" } });
  const bad: Record<string, string>[] = [
    { "kernel.shmmax": "1" },
    { "fs.mqueue.msg_max": "5" },
    { "kernel.core_pattern": "|/bin/x" },
    { "vm.swappiness": "1" },
    { "net.ipv4.ip_forward": "1+kernel.core_pattern=|x" },
    { "net.ipv4.ip_forward": "1\nx" },
    { "net.../../kernel/core_pattern": "1" },
    { "net/../kernel/core_pattern": "1" },
    { net: "1" },
    { "": "1" },
  ];
  for (const sysctls of bad) assert.throws(() => generate({ sysctls }), invalid, JSON.stringify(sysctls));
  assert.throws(
    () => generate({ sysctls: { "net.ipv4.ip_forward": "1" }, namespaces: { network: "host" } }),
    invalid,
  );
  generate({ sysctls: { "kernel.shmmax": "1" }, namespaces: { ipc: { path: "/run/ns/ipc" } } });
});

test("the environment: later entries replace earlier ones, missing ones are added", () => {
  assert.deepEqual(processEnvironment(["A=1", "PATH=/x", "A=2=3", "B"], true, "/home", "h"), [
    "A=2=3",
    "PATH=/x",
    "B=",
    "HOSTNAME=h",
    "HOME=/home",
    "TERM=xterm",
  ]);
  for (const entry of ["=x", "", "A=\0"])
    assert.throws(() => processEnvironment([entry], false, undefined, undefined), invalid);
});

test("no command, a relative directory", () => {
  assert.throws(() => generate({}, { args: [] }), invalid);
  assert.throws(() => generate({}, { args: [""] }), invalid);
  assert.throws(() => generate({}, { cwd: "relative" }), invalid);
});
