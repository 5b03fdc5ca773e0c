/**
 * V2 groups in the real kernel: in the v2 hierarchy of this host, which on a hybrid one has few controllers, so that
 * what needs the others is tested on a tree of files (cgroup-layouts.test.ts).
 */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { patient } from "../../test/harness/patience.ts";
import { createCgroupManager } from "./cgroup-manager.ts";
import type { Cgroup } from "./cgroup.ts";
import { RESTRICTED_DEVICES } from "./spec-defaults.ts";

const root = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].find((path) =>
  existsSync(join(path, "cgroup.controllers")),
);
const skip = root === undefined && "this host has no cgroup v2";
const hugetlb =
  root !== undefined && readFileSync(join(root, "cgroup.controllers"), "utf8").includes("hugetlb");
const noHugetlb = skip || (!hugetlb && "no hugetlb controller in the v2 hierarchy");
const manager = root === undefined ? undefined : createCgroupManager({ root });
const parent = `/gantry-test-v2-${process.pid}`;
const signal = AbortSignal.timeout(patient(30_000));
after(async () => await manager?.load(parent).remove(AbortSignal.timeout(patient(10_000))));

const make = async (name: string, resources = {}): Promise<Cgroup> => {
  assert.ok(manager);
  return await manager.create(`${parent}/${name}`, resources);
};
async function sleeperIn(group: Cgroup): Promise<ChildProcess> {
  const child = spawn("sleep", ["300"], { stdio: "ignore" });
  await once(child, "spawn");
  writeFileSync(join(group.entries().unifiedDirectory ?? "", "cgroup.procs"), String(child.pid));
  return child;
}
const read = (group: Cgroup, file: string): string =>
  readFileSync(join(group.entries().unifiedDirectory ?? "", file), "utf8").trim();

test(
  "a threaded group below is listed, killed and removed with its domain, and takes no container",
  { skip },
  async () => {
    const group = await make("threads");
    const child = await sleeperIn(group);
    const exited = once(child, "exit");
    const below = join(group.entries().unifiedDirectory ?? "", "part");
    mkdirSync(below);
    writeFileSync(join(below, "cgroup.type"), "threaded");
    writeFileSync(join(below, "cgroup.threads"), String(child.pid));
    assert.deepEqual(await group.processes(), [child.pid]);
    await assert.rejects(make("threads/part/one"), { kind: "failed-precondition", message: /threaded/ });
    await group.remove(signal);
    assert.equal((await exited)[1], "SIGKILL");
    assert.equal(group.exists(), false);
  },
);

test(
  "a further process goes where the first one is, once groups below have the controllers",
  { skip: noHugetlb },
  async () => {
    const group = await make("nested", { hugepageLimits: [{ pageSize: "2MB", limit: 0 }] });
    const own = group.entries().unifiedDirectory ?? "";
    const child = await sleeperIn(group);
    assert.equal(group.execEntries(child.pid ?? 0).unifiedDirectory, own);
    mkdirSync(join(own, "init.scope"));
    writeFileSync(join(own, "init.scope/cgroup.procs"), String(child.pid));
    writeFileSync(join(own, "cgroup.subtree_control"), "+hugetlb");
    assert.equal(group.execEntries(child.pid ?? 0).unifiedDirectory, join(own, "init.scope"));
    // Of a process that is elsewhere, or is none, nothing is taken.
    assert.equal(group.execEntries(process.pid).unifiedDirectory, own);
    assert.equal(group.execEntries(2 ** 30).unifiedDirectory, own);
    await group.remove(signal);
  },
);

test(
  "a group is made below groups that are missing, with its device program, and removed with what is in it",
  { skip },
  async () => {
    const group = await make("pod/one", { devices: [...RESTRICTED_DEVICES] });
    assert.equal(manager?.version, "v2");
    assert.deepEqual(group.entries().tasksFiles, []);
    const child = await sleeperIn(group);
    const exited = once(child, "exit");
    assert.deepEqual(await group.processes(), [child.pid]);
    await assert.rejects(make("pod/one"), { kind: "already-exists" });
    await group.freeze();
    assert.match(read(group, "cgroup.events"), /frozen 1/);
    await group.thaw();
    assert.equal(await group.removeIfEmpty(), false);
    await group.freeze();
    await group.remove(signal);
    assert.equal((await exited)[1], "SIGKILL");
    await group.remove(signal);
    await assert.rejects(group.update({ unified: {} }), { kind: "not-found" });
  },
);

test("limits are written, updated, refused and put back", { skip: noHugetlb }, async () => {
  const pages = (limit: number): object => ({ hugepageLimits: [{ pageSize: "2MB", limit }] });
  const group = await make("limits/one", pages(4 << 20));
  const both = (): string[] => ["hugetlb.2MB.max", "hugetlb.2MB.rsvd.max"].map((file) => read(group, file));
  assert.deepEqual(both(), [String(4 << 20), String(4 << 20)]);
  const undo = await group.update(pages(2 << 20));
  assert.deepEqual(both(), [String(2 << 20), String(2 << 20)]);
  await undo();
  assert.deepEqual(both(), [String(4 << 20), String(4 << 20)]);
  const refused = { ...pages(2 << 20), unified: { "hugetlb.1GB.max": "much" } };
  await assert.rejects(group.update(refused), {
    kind: "invalid-argument",
    message: /hugetlb\.1GB\.max: EINVAL/,
  });
  const missing = { ...pages(2 << 20), unified: { "hugetlb.3MB.max": "0" } };
  await assert.rejects(group.update(missing), { kind: "failed-precondition", message: /no such limit/ });
  assert.deepEqual(both(), [String(4 << 20), String(4 << 20)]);
  const unset = await make("limits/two");
  const takeBack = await unset.update({ unified: { "hugetlb.2MB.max": "0", "cgroup.x": "1" } }).catch(String);
  assert.match(String(takeBack), /is not a limit/);
  const back = await unset.update({ unified: { "hugetlb.2MB.max": "0" } });
  assert.equal(read(unset, "hugetlb.2MB.max"), "0");
  await back();
  assert.equal(read(unset, "hugetlb.2MB.max"), "max");
});

/** The controllers of the v2 hierarchy that this test's groups have. */
const controllers = new Set(
  root === undefined ? [] : readFileSync(join(root, "cgroup.controllers"), "utf8").trim().split(/\s+/),
);
const needs = (...names: string[]): string | false => {
  const missing = names.filter((name) => !controllers.has(name));
  return skip || (missing.length > 0 && `no ${missing.join(", ")} controller in the v2 hierarchy`);
};

test(
  "memory, processors and processes are limited, and each limit moves both ways",
  { skip: needs("memory", "cpu", "cpuset", "pids") },
  async () => {
    const group = await make("limits/one", {
      memory: { limit: 64 << 20, swap: 96 << 20, reservation: 32 << 20, kernel: 1 << 20, useHierarchy: true },
      cpu: { shares: 2048, quota: 20_000, period: 50_000, burst: 10_000, cpus: "0", mems: "0" },
      pids: { limit: 17 },
    });
    const values = (): string[] =>
      [
        "memory.max",
        "memory.swap.max",
        "memory.low",
        "cpu.max",
        "cpu.max.burst",
        "cpuset.cpus",
        "pids.max",
      ].map((file) => read(group, file));
    const first = [String(64 << 20), String(32 << 20), String(32 << 20), "20000 50000", "10000", "0", "17"];
    assert.deepEqual(values(), first);
    // The burst is at most the quota, so one order raises both and the other lowers them.
    const undo = await group.update({
      cpu: { quota: 80_000, period: 100_000, burst: 60_000 },
      memory: { limit: -1 },
    });
    assert.equal(read(group, "cpu.max"), "80000 100000");
    assert.equal(read(group, "memory.max"), "max");
    await group.update({ cpu: { quota: 5_000, burst: 4_000 } });
    assert.equal(read(group, "cpu.max.burst"), "4000");
    await undo();
    assert.deepEqual(values(), first);
    await assert.rejects(
      group.update({ pids: { limit: 3 }, memory: { limit: 4096, swap: 4096 }, cpu: { cpus: "4095" } }),
    );
    assert.deepEqual(values(), first);
    await group.update({ cpu: { idle: 1 } });
    assert.equal(read(group, "cpu.idle"), "1");
    await group.update({ cpu: { idle: 0, shares: 1024 } });
    assert.equal(read(group, "cpu.weight"), "100");
    await group.remove(signal);
  },
);

test(
  "a process that takes more memory than its group may is killed and counted",
  { skip: needs("memory") },
  async () => {
    const group = await make("oom", { memory: { limit: 32 << 20, swap: 32 << 20 } });
    const procs = join(group.entries().unifiedDirectory ?? "", "cgroup.procs");
    const hog = spawn("sh", ["-c", `echo 0 > ${procs}; exec dd if=/dev/zero of=/dev/null bs=200M count=1`], {
      stdio: "ignore",
    });
    assert.equal((await once(hog, "exit"))[1], "SIGKILL");
    const details = await manager?.readDetails([group.path]);
    assert.equal(details?.at(0)?.oomKills, 1);
    assert.ok((details?.at(0)?.memoryPeakBytes ?? 32 << 20) <= 32 << 20);
    await group.remove(signal);
  },
);

const disk = readFileSync("/proc/partitions", "utf8").match(
  /^\s+(\d+)\s+(\d+)\s+\d+ (?:vd|sd|nvme\d+n)[a-z0-9]$/m,
);
test(
  "a disk's throughput is limited by device, and the limit is taken away again",
  { skip: needs("io") || (!disk && "this host has no disk that can be throttled") },
  async () => {
    const device = { major: Number(disk?.[1]), minor: Number(disk?.[2]) };
    const group = await make("io", {
      blockIO: {
        weight: 500,
        throttleReadBpsDevice: [{ ...device, rate: 1_048_576 }],
        throttleWriteIOPSDevice: [{ ...device, rate: 100 }],
      },
    });
    const line = `${device.major}:${device.minor} rbps=1048576 wbps=max riops=max wiops=100`;
    assert.equal(read(group, "io.max"), line);
    const undo = await group.update({ blockIO: { throttleReadBpsDevice: [{ ...device, rate: 2_097_152 }] } });
    assert.match(read(group, "io.max"), /rbps=2097152/);
    await undo();
    assert.equal(read(group, "io.max"), line);
    const bare = await make("io2");
    await assert.rejects(
      bare.update({
        blockIO: {
          throttleReadBpsDevice: [
            { ...device, rate: 5 },
            { major: 511, minor: 0, rate: 5 },
          ],
        },
      }),
      { kind: "failed-precondition", message: /no such device/ },
    );
    assert.equal(read(bare, "io.max"), "");
    await bare.remove(signal);
    await group.remove(signal);
  },
);

test(
  "a controller that a group with processes keeps from those below is named with that group",
  { skip: needs("pids") },
  async () => {
    const above = await make("busy");
    const child = await sleeperIn(above);
    await assert.rejects(make("busy/below", { pids: { limit: 5 } }), {
      kind: "failed-precondition",
      message: /pids controller is not enabled below .*busy, which has processes of its own/,
    });
    const exited = once(child, "exit");
    await above.remove(signal);
    await exited;
  },
);

test("an RDMA device that is none is refused by name", { skip: needs("rdma") }, async () => {
  await assert.rejects(
    make("rdma", { rdma: { mlx5_9: { hcaHandles: 2 } } }),
    /rdma\.max: there is no such device/,
  );
});
