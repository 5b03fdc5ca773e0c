import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { after, test } from "node:test";
import { GantryError } from "../base/errors.ts";
import { patient } from "../../test/harness/patience.ts";
import { createCgroupManager } from "./cgroup-manager.ts";
import type { Cgroup } from "./cgroup.ts";
import { RESTRICTED_DEVICES } from "./spec-defaults.ts";

// Real groups of this host, below a parent of this test's own.
const manager = createCgroupManager();
const parent = `/gantry-test-cgroup-${process.pid}`;
const signal = AbortSignal.timeout(patient(30_000));
after(() => manager.load(parent).remove(AbortSignal.timeout(patient(10_000))));

const onV1 = manager.version === "v1" ? false : "this host has cgroup v2";
const kind = (wanted: string) => (error: unknown) => error instanceof GantryError && error.kind === wanted;

async function sleeperIn(group: Cgroup): Promise<ChildProcess> {
  const child = spawn("sleep", ["300"], { stdio: "ignore" });
  await once(child, "spawn");
  const { tasksFiles, unifiedDirectory } = group.entries();
  for (const file of tasksFiles) writeFileSync(file, String(child.pid));
  if (unifiedDirectory) writeFileSync(`${unifiedDirectory}/cgroup.procs`, String(child.pid));
  return child;
}

const readLimit = (group: Cgroup, controller: string, file: string) =>
  readFileSync(`/sys/fs/cgroup/${controller}${group.path}/${file}`, "latin1").trim();

test(
  "a group is made in every hierarchy with its limits, and removed with what is in it",
  { skip: onV1 },
  async () => {
    const group = await manager.create(`${parent}/pod/one`, {
      memory: { limit: 64 << 20, swap: 64 << 20 },
      cpu: { shares: 512, quota: 50_000, period: 100_000 },
      pids: { limit: 20 },
      devices: [...RESTRICTED_DEVICES],
      hugepageLimits: [{ pageSize: "2MB", limit: 0 }],
    });
    assert.equal(readLimit(group, "memory", "memory.limit_in_bytes"), String(64 << 20));
    assert.equal(readLimit(group, "memory", "memory.memsw.limit_in_bytes"), String(64 << 20));
    assert.equal(readLimit(group, "cpu", "cpu.shares"), "512");
    assert.equal(readLimit(group, "cpu", "cpu.cfs_quota_us"), "50000");
    assert.equal(readLimit(group, "pids", "pids.max"), "20");
    assert.match(readLimit(group, "devices", "devices.list"), /^c 1:3 rwm$/m);
    assert.doesNotMatch(readLimit(group, "devices", "devices.list"), /^a /m);
    assert.notEqual(readLimit(group, "cpuset", "cpuset.cpus"), "");

    const child = await sleeperIn(group);
    const exited = once(child, "exit");
    assert.deepEqual(await group.processes(), [child.pid]);
    await assert.rejects(manager.create(group.path, {}), kind("already-exists"));
    const stats = (await manager.readStats([group.path])).at(0);
    assert.ok(stats);
    assert.equal(stats.pids, 1);
    assert.equal(stats.memoryLimitBytes, 64 << 20);
    assert.equal(stats.swapLimitBytes, 0);

    await group.freeze();
    assert.equal(readLimit(group, "freezer", "freezer.state"), "FROZEN");
    await group.thaw();

    await group.remove(signal);
    assert.deepEqual((await exited)[1], "SIGKILL");
    for (const file of group.entries().tasksFiles) assert.ok(!existsSync(file));
    await group.remove(signal);
    assert.equal((await manager.readStats([group.path])).at(0), undefined);
  },
);

test("an update raises, lowers, and is undone when a part of it is refused", { skip: onV1 }, async () => {
  const group = await manager.create(`${parent}/update`, {
    memory: { limit: 32 << 20, swap: 32 << 20 },
    cpu: { shares: 100 },
  });
  await group.update({ memory: { limit: 64 << 20, swap: 64 << 20 } });
  await group.update({ memory: { limit: 16 << 20, swap: 32 << 20 } });
  assert.equal(readLimit(group, "memory", "memory.memsw.limit_in_bytes"), String(32 << 20));
  await assert.rejects(
    group.update({ memory: { limit: 48 << 20, swap: 48 << 20 }, cpu: { shares: 300, cpus: "9999" } }),
    (error) => error instanceof GantryError && error.message.includes("cpuset.cpus"),
  );
  assert.equal(readLimit(group, "memory", "memory.limit_in_bytes"), String(16 << 20));
  assert.equal(readLimit(group, "memory", "memory.memsw.limit_in_bytes"), String(32 << 20));
  assert.equal(readLimit(group, "cpu", "cpu.shares"), "100");
  await group.remove(signal);
});

test("a creation that fails leaves nothing", { skip: onV1 }, async () => {
  const path = `${parent}/failing/leaf`;
  await assert.rejects(manager.create(path, { cpu: { cpus: "9999" } }), GantryError);
  await assert.rejects(
    manager.create(path, { unified: { "memory.high": "1" } }),
    kind("failed-precondition"),
  );
  await assert.rejects(
    manager.create(path, { memory: { limit: 2 << 20, swap: 1 << 20 } }),
    kind("invalid-argument"),
  );
  for (const file of manager.load(`${parent}/failing`).entries().tasksFiles)
    assert.ok(!existsSync(file), file);
});

test("groups below a group and frozen processes in them are removed with it", { skip: onV1 }, async () => {
  const outer = await manager.create(`${parent}/outer`, {});
  const inner = await manager.create(`${parent}/outer/inner`, {});
  const child = await sleeperIn(inner);
  const exited = once(child, "exit");
  await outer.freeze();
  assert.deepEqual(await outer.processes(), [child.pid]);
  await outer.remove(signal);
  await exited;
  assert.deepEqual(await outer.processes(), []);
});

test("removing gives up when it is told to", { skip: onV1 }, async () => {
  const group = await manager.create(`${parent}/aborted`, {});
  const child = await sleeperIn(group);
  const exited = once(child, "exit");
  await assert.rejects(group.remove(AbortSignal.abort(new Error("enough"))), /enough/);
  await group.remove(signal);
  await exited;
});

const disk = readFileSync("/proc/partitions", "utf8").match(
  /^\s+(\d+)\s+(\d+)\s+\d+ (?:vd|sd|nvme\d+n)[a-z0-9]$/m,
);
const throttles =
  existsSync("/sys/fs/cgroup/blkio/blkio.throttle.read_bps_device") && disk
    ? false
    : "no v1 controller of block I/O, or no disk";

test(
  "limits of devices are put back, those of a device without any taken away",
  { skip: throttles },
  async () => {
    const device = { major: Number(disk?.[1]), minor: Number(disk?.[2]) };
    const none = { major: 511, minor: 0 };
    const file = "blkio.throttle.read_bps_device";
    const group = await manager.create(`${parent}/disk`, {});
    const limits = (rate: number) => ({ throttleReadBpsDevice: [{ ...device, rate }] });
    const undo = await group.update({ blockIO: limits(1_000_000) });
    const line = `${device.major}:${device.minor} 1000000`;
    assert.equal(readLimit(group, "blkio", file), line);
    await assert.rejects(
      group.update({
        blockIO: {
          throttleReadBpsDevice: [
            { ...device, rate: 5 },
            { ...none, rate: 5 },
          ],
        },
      }),
      { kind: "failed-precondition", message: /no such device/ },
    );
    assert.equal(readLimit(group, "blkio", file), line);
    await undo();
    assert.equal(readLimit(group, "blkio", file), "");
    await group.remove(signal);
  },
);
