/** Groups on trees in a temporary directory that look like v1, v2 and hybrid hosts. */
import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, test } from "node:test";
import { GantryError } from "../base/errors.ts";
import { kernelCgroupFiles, type CgroupFiles } from "./cgroup-files.ts";
import { createCgroupManager } from "./cgroup-manager.ts";
import { cpuWeightFromShares, ioWeightFromBlkio } from "./cgroup-v2-resources.ts";
import type { CgroupManager, CgroupStats } from "./cgroup.ts";
import type { DeviceRule } from "./runtime-spec.ts";

const base = mkdtempSync(join(tmpdir(), "gantry-cgroup-"));
after(() => rmSync(base, { recursive: true }));

/** What the kernel puts into a new group's directory. */
const FILES: Record<string, Record<string, string>> = {
  v2: {
    "cgroup.procs": "",
    "cgroup.controllers": "cpuset cpu io memory pids",
    "cgroup.subtree_control": "",
    "cgroup.kill": "",
    "cgroup.freeze": "0",
    "cgroup.events": "populated 0\nfrozen 0\n",
    "cpu.weight": "100",
    "cpu.max": "max 100000",
    "cpu.stat": "usage_usec 1500\nuser_usec 1000\n",
    "cpuset.cpus": "",
    "io.weight": "default 100",
    "memory.max": "max",
    "memory.low": "0",
    "memory.high": "max",
    "memory.swap.max": "max",
    "memory.swap.current": "512",
    "memory.current": "10000",
    "memory.stat": "anon 4000\nfile 5000\ninactive_file 3000\npgfault 12\npgmajfault 2\n",
    "memory.events": "low 0\noom 1\noom_kill 3\n",
    "pids.max": "max",
    "pids.current": "4",
  },
  memory: {
    "cgroup.procs": "",
    tasks: "",
    "memory.limit_in_bytes": "9223372036854771712",
    "memory.memsw.limit_in_bytes": "9223372036854771712",
    "memory.usage_in_bytes": "10000",
    "memory.stat":
      "cache 1\nrss 2\ntotal_rss 4000\ntotal_swap 512\ntotal_pgfault 12\ntotal_pgmajfault 2\ntotal_inactive_file 3000\n",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
  },
  cpuset: { "cgroup.procs": "", tasks: "", "cpuset.cpus": "", "cpuset.mems": "" },
  "cpu,cpuacct": {
    "cgroup.procs": "",
    tasks: "",
    "cpu.shares": "1024",
    "cpu.cfs_period_us": "100000",
    "cpu.cfs_quota_us": "-1",
    "cpuacct.usage": "1500000\n",
  },
  pids: { "cgroup.procs": "", tasks: "", "pids.max": "max", "pids.current": "4\n" },
  systemd: { "cgroup.procs": "", tasks: "" },
};

function populate(directory: string, kind: string): void {
  for (const [file, text] of Object.entries(FILES[kind] ?? {})) writeFileSync(join(directory, file), text);
}

let counter = 0;
function fakeTree(kinds: string[]) {
  const root = join(base, `tree${counter++}`);
  const isV2 = kinds.length === 1 && kinds[0] === "v2";
  mkdirSync(root);
  if (isV2) populate(root, "v2");
  for (const kind of isV2 ? [] : kinds) {
    mkdirSync(join(root, kind === "v2" ? "unified" : kind));
    populate(join(root, kind === "v2" ? "unified" : kind), kind);
  }
  const writes: string[] = [];
  const kindOf = (path: string): string => {
    const top = path.slice(root.length + 1).split("/")[0] ?? "";
    return isV2 || top === "unified" ? "v2" : top;
  };
  const files: CgroupFiles = {
    ...kernelCgroupFiles,
    writeAside: async (path, value) => files.write(path, value),
    mkdir(directory) {
      const made = kernelCgroupFiles.mkdir(directory);
      if (made) populate(directory, kindOf(directory));
      return made;
    },
    rmdir(directory) {
      if (existsSync(directory)) {
        if (readdirSync(directory, { withFileTypes: true }).some((entry) => entry.isDirectory())) {
          throw Object.assign(new Error("busy"), { code: "EBUSY" });
        }
        for (const name of readdirSync(directory)) unlinkSync(join(directory, name));
      }
      kernelCgroupFiles.rmdir(directory);
    },
    write(path, value) {
      writes.push(`${basename(path)}=${value}`);
      if (value === "refused") throw Object.assign(new Error("refused"), { code: "EINVAL" });
      kernelCgroupFiles.write(path, value);
    },
  };
  const filters: string[] = [];
  const manager = createCgroupManager({
    root,
    files,
    attachDeviceFilter: (directory) => void filters.push(directory),
  });
  return { root, manager, writes, filters };
}
async function statsOf(manager: CgroupManager, path: string): Promise<CgroupStats> {
  const stats = (await manager.readStats([path])).at(0);
  assert.ok(stats);
  return stats;
}
const V1 = ["memory", "cpuset", "cpu,cpuacct", "pids", "systemd"];
const kind = (wanted: string) => (error: unknown) => error instanceof GantryError && error.kind === wanted;
const rules: DeviceRule[] = [{ allow: false, access: "rwm" }];

test("v1: a directory in every hierarchy, a cpuset that can take processes", async () => {
  const { root, manager } = fakeTree(V1);
  writeFileSync(join(root, "cpuset/cpuset.cpus"), "0-3\n");
  writeFileSync(join(root, "cpuset/cpuset.mems"), "0\n");
  assert.equal(manager.version, "v1");
  const group = await manager.create("/pod/one", { memory: { limit: 100, swap: 200 }, cpu: { cpus: "1" } });
  assert.deepEqual(
    group.entries().tasksFiles,
    [...V1].sort().map((name) => join(root, name, "pod/one/tasks")),
  );
  assert.equal(group.entries().unifiedDirectory, undefined);
  assert.equal(readFileSync(join(root, "cpuset/pod/cpuset.cpus"), "utf8"), "0-3");
  assert.equal(readFileSync(join(root, "cpuset/pod/one/cpuset.cpus"), "utf8"), "1");
  assert.equal(readFileSync(join(root, "memory/pod/one/memory.memsw.limit_in_bytes"), "utf8"), "200");
  const { timestampNs, ...stats } = await statsOf(manager, group.path);
  assert.ok(timestampNs > 0n);
  assert.deepEqual(stats, {
    cpuUsageNs: 1500000n,
    memoryUsageBytes: 10000,
    memoryWorkingSetBytes: 7000,
    memoryRssBytes: 4000,
    memoryPageFaults: 12,
    memoryMajorPageFaults: 2,
    memoryLimitBytes: 100,
    swapUsageBytes: 512,
    swapLimitBytes: 100,
    pids: 4,
    processes: 0,
  });
});

test("v1: a cpuset that an earlier daemon has left without processors gets them", async () => {
  const { root, manager } = fakeTree(V1);
  writeFileSync(join(root, "cpuset/cpuset.cpus"), "0-3\n");
  writeFileSync(join(root, "cpuset/cpuset.mems"), "0\n");
  await manager.create("/pod/one", {});
  const files = ["pod/one/cpuset.cpus", "pod/one/cpuset.mems"].map((name) => join(root, "cpuset", name));
  writeFileSync(join(root, "cpuset/pod/cpuset.cpus"), "");
  for (const file of files) writeFileSync(file, "");
  await manager.create("/pod/one", {});
  assert.deepEqual(
    files.map((file) => readFileSync(file, "utf8")),
    ["0-3", "0"],
  );
});

test("hybrid: controllers on v1, the group in the v2 hierarchy too", async () => {
  const { root, manager } = fakeTree([...V1, "v2"]);
  assert.equal(manager.version, "v1");
  const group = await manager.create("/one", {});
  assert.equal(group.entries().unifiedDirectory, join(root, "unified/one"));
  assert.equal(group.entries().tasksFiles.length, V1.length);
  await group.kill();
  assert.equal(readFileSync(join(root, "unified/one/cgroup.kill"), "utf8"), "1");
  assert.equal(group.exists(), true);
  assert.equal(await group.removeIfEmpty(), true);
  assert.equal(group.exists(), false);
  assert.ok(!existsSync(join(root, "memory/one")) && !existsSync(join(root, "unified/one")));
  const pods = await Promise.all(["/client/one", "/client/two"].map((path) => manager.create(path, {})));
  await pods[0]?.removeShadow();
  assert.ok(!existsSync(join(root, "unified/client/one")) && existsSync(join(root, "unified/client/two")));
  await pods[1]?.removeShadow();
  assert.ok(!existsSync(join(root, "unified/client")) && existsSync(join(root, "memory/client/two")));
});

test("v1: a limit whose controller is missing, unless it says nothing", async () => {
  const { root, manager } = fakeTree(V1);
  await assert.rejects(
    manager.create("/one", { hugepageLimits: [{ pageSize: "2MB", limit: 1 }] }),
    kind("failed-precondition"),
  );
  await assert.rejects(manager.create("/one", { devices: rules }), kind("failed-precondition"));
  assert.ok(!existsSync(join(root, "memory/one")));
  await manager.create("/one", { hugepageLimits: [{ pageSize: "2MB", limit: 0 }] });
});

test("v1: limits are raised and lowered in the order that the kernel wants", async () => {
  const { manager, writes } = fakeTree(V1);
  const group = await manager.create("/one", { memory: { limit: 100, swap: 100 } });
  const after_ = async (limit: number, swap: number) => {
    writes.length = 0;
    await group.update({ memory: { limit, swap } });
    return writes.map((write) => write.split(".")[1]?.split("=")[0]);
  };
  assert.deepEqual(await after_(200, 300), ["memsw", "limit_in_bytes"]);
  assert.deepEqual(await after_(50, 60), ["limit_in_bytes", "memsw"]);
  assert.deepEqual(await after_(-1, -1), ["memsw", "limit_in_bytes"]);
});

test("v2: controllers are enabled above, limits converted, devices filtered", async () => {
  const { root, manager, filters } = fakeTree(["v2"]);
  assert.equal(manager.version, "v2");
  const group = await manager.create("/pod/one", {
    cpu: { shares: 1024, quota: 50_000 },
    memory: { limit: 1000, swap: 1500, reservation: 10 },
    pids: { limit: 9 },
    blockIO: { weight: 10 },
    devices: rules,
    unified: { "memory.high": "900" },
  });
  const read = (file: string) => readFileSync(join(root, "pod/one", file), "utf8");
  assert.deepEqual(
    [
      "cpu.weight",
      "cpu.max",
      "memory.max",
      "memory.swap.max",
      "memory.low",
      "pids.max",
      "io.weight",
      "memory.high",
    ].map(read),
    ["100", "50000 100000", "1000", "500", "10", "9", "1", "900"],
  );
  assert.equal(readFileSync(join(root, "pod/cgroup.subtree_control"), "utf8"), "+pids");
  assert.deepEqual(filters, [join(root, "pod/one")]);
  assert.deepEqual(group.entries(), { unifiedDirectory: join(root, "pod/one"), tasksFiles: [] });
  const stats = await statsOf(manager, group.path);
  assert.equal(stats.cpuUsageNs, 1_500_000n);
  assert.equal(stats.memoryWorkingSetBytes, 7000);
  assert.equal(stats.memoryRssBytes, 4000);
  assert.equal(stats.swapLimitBytes, 500);
  await group.remove(AbortSignal.timeout(1000));
  assert.ok(!existsSync(join(root, "pod/one")));
});

test("v2: an update happens as a whole or not at all", async () => {
  const { root, manager } = fakeTree(["v2"]);
  const group = await manager.create("/one", { memory: { limit: 1000, swap: 1000 } });
  await assert.rejects(
    group.update({ memory: { limit: 2000, swap: 3000 }, unified: { "memory.high": "refused" } }),
    kind("invalid-argument"),
  );
  assert.equal(readFileSync(join(root, "one/memory.max"), "utf8"), "1000");
  assert.equal(readFileSync(join(root, "one/memory.swap.max"), "utf8"), "0");
  for (const key of ["cgroup.procs", "../x", "memory/max", "cgroup.subtree_control", "x"]) {
    await assert.rejects(group.update({ unified: { [key]: "1" } }), kind("invalid-argument"), key);
  }
  await assert.rejects(group.update({ memory: { swap: 5 } }), kind("invalid-argument"));
  await assert.rejects(
    group.update({ memory: { limit: 5, checkBeforeUpdate: true } }),
    kind("failed-precondition"),
  );
});

test("v2: a group with processes of its own is left as it is, and named when a limit needs a controller below it", async () => {
  const { root, manager } = fakeTree(["v2"]);
  await manager.create("/busy", {});
  writeFileSync(join(root, "busy/cgroup.procs"), "1\n");
  writeFileSync(join(root, "busy/cgroup.subtree_control"), "");
  await manager.create("/busy/one", {});
  assert.equal(readFileSync(join(root, "busy/cgroup.subtree_control"), "utf8"), "");
});

test("shares and weights", () => {
  assert.deepEqual([2, 1024, 262144, 1, 500_000].map(cpuWeightFromShares), [1, 100, 10000, 1, 10000]);
  let last = 0;
  for (let shares = 2; shares <= 262144; shares *= 2) {
    assert.ok(cpuWeightFromShares(shares) >= last);
    last = cpuWeightFromShares(shares);
  }
  assert.deepEqual([10, 1000].map(ioWeightFromBlkio), [1, 10000]);
});

test("paths stay below the root", async () => {
  const { manager } = fakeTree(V1);
  for (const path of [
    "",
    "/",
    "relative",
    "/a/../b",
    "/..",
    "/a/./b",
    "/a\0",
    "/a\nb",
    `/${"x".repeat(300)}`,
  ]) {
    await assert.rejects(manager.create(path, {}), kind("invalid-argument"), JSON.stringify(path));
    assert.throws(() => manager.load(path), kind("invalid-argument"));
  }
  assert.equal(manager.containerPath("/kubepods/pod1", "abc"), "/kubepods/pod1/abc");
  assert.equal(manager.containerPath("", "abc"), "/abc");
  for (const id of ["../x", "", "a/b"])
    assert.throws(() => manager.containerPath("/p", id), kind("invalid-argument"));
});

test("no cgroup filesystem", () => {
  const empty = join(base, "empty");
  mkdirSync(empty);
  assert.throws(() => createCgroupManager({ root: empty }), kind("failed-precondition"));
});
