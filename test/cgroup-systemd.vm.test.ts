/**
 * Groups through the systemd of this host. Run where one is the first process and the test may do with it what it
 * likes: in the virtual machine.
 */
import assert from "node:assert/strict";
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createCgroupManager } from "../src/oci/cgroup-manager.ts";
import type { Cgroup } from "../src/oci/cgroup.ts";
import type { Resources } from "../src/oci/runtime-spec.ts";
import { RESTRICTED_DEVICES } from "../src/oci/spec-defaults.ts";

const manager = createCgroupManager({ driver: "systemd" });
const v2 = manager.version === "v2";
const mine = `gantrytest${process.pid}`;
const slice = `${mine}.slice`;
const signal = AbortSignal.timeout(240_000);
let counter = 0;
const newPath = (parent = slice): string => manager.containerPath(parent, `${mine}-${counter++}`);
const unitOf = (path: string): string => path.replace(/^[^:]*:([^:]*):(.*)$/, "$1-$2.scope");
const children = new Set<ChildProcess>();

after(async () => {
  for (const child of children) child.kill("SIGKILL");
  await manager.load(slice).remove(AbortSignal.timeout(30_000));
});

const systemctl = (...args: string[]): string =>
  execFileSync("systemctl", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();
const show = (unit: string, property: string): string => systemctl("show", "-P", property, unit);

/** A group's directory, in the hierarchy of a controller on v1. */
function directoryOf(group: Cgroup, controller: string): string {
  const { unifiedDirectory, tasksFiles } = group.entries();
  if (v2) return unifiedDirectory as string;
  const found = tasksFiles.find((file) => file.split("/")[4]?.split(",").includes(controller));
  assert.ok(found, `no hierarchy has ${controller}`);
  return dirname(found);
}
const read = (group: Cgroup, file: string): string =>
  readFileSync(join(directoryOf(group, file.split(".")[0] ?? ""), file), "utf8").trim();
const controllers = v2
  ? readFileSync("/sys/fs/cgroup/cgroup.controllers", "utf8").trim().split(" ")
  : ["memory", "cpu", "pids", "cpuset", "devices"];
const needs = (...names: string[]) => {
  const missing = names.filter((name) => !controllers.includes(name));
  return missing.length > 0 && `this host's systemd has no ${missing.join(", ")} controller`;
};

async function sleeperIn(group: Cgroup): Promise<ChildProcess> {
  const { unifiedDirectory, tasksFiles } = group.entries();
  const files = [...tasksFiles, ...(unifiedDirectory ? [join(unifiedDirectory, "cgroup.procs")] : [])];
  const script = `${files.map((file) => `echo 0 > ${file}`).join(" && ")} && echo in && exec sleep 300`;
  const child = spawn("sh", ["-c", script], { stdio: ["ignore", "pipe", "inherit"] });
  children.add(child);
  await Promise.race([
    once(child.stdout, "data"),
    once(child, "exit").then(() => assert.fail(`cannot enter ${group.path}`)),
  ]);
  return child;
}

async function gone(unit: string): Promise<void> {
  while (show(unit, "LoadState") !== "not-found" || show(unit, "ActiveState") !== "inactive") {
    signal.throwIfAborted();
    await sleep(50);
  }
}

test("a scope is there before its first process, is left by what kept it, and goes with the group", async () => {
  const path = newPath();
  const unit = unitOf(path);
  const group = await manager.create(path, {});
  assert.equal(show(unit, "ActiveState"), "active");
  assert.equal(show(unit, "Slice"), slice);
  assert.equal(show(unit, "Delegate"), "yes");
  assert.equal(show(unit, "DefaultDependencies"), "no");
  assert.equal(show(unit, "ControlGroup"), manager.directoryPath(path));
  assert.deepEqual(await group.processes(), []);
  const child = await sleeperIn(group);
  await group.entered();
  const [pid] = await group.processes();
  assert.equal(pid, child.pid);
  assert.equal((await manager.load(path).processes()).length, 1);
  assert.equal(systemctl("show", "-P", "TasksCurrent", unit), v2 && needs("pids") ? "[not set]" : "1");
  await assert.rejects(manager.create(path, {}), { kind: "already-exists" });
  await group.freeze();
  assert.ok(group.isFrozen());
  const exited = once(child, "exit");
  await group.remove(signal);
  await exited;
  assert.ok(!group.exists());
  await gone(unit);
  // The name is free again at once.
  const again = await manager.create(path, {});
  await again.remove(signal);
  await gone(unit);
});

test(
  "limits are the unit's, before the first process and when they change, and outlive a reload",
  { skip: needs("memory", "cpu", "pids", "cpuset") },
  async () => {
    const path = newPath();
    const unit = unitOf(path);
    const resources: Resources = {
      memory: { limit: 64 << 20, swap: 64 << 20, reservation: 32 << 20 },
      cpu: { shares: 2048, quota: 25_000, period: 50_000, cpus: "0" },
      pids: { limit: 40 },
      devices: [...RESTRICTED_DEVICES],
    };
    const group = await manager.create(path, resources);
    await sleeperIn(group);
    await group.entered();
    const expected = (): void => {
      assert.equal(show(unit, "TasksMax"), "40");
      assert.equal(show(unit, "CPUQuotaPerSecUSec"), "500ms");
      assert.equal(show(unit, "DevicePolicy"), "strict");
      assert.match(show(unit, "DeviceAllow"), /\/dev\/char\/1:3 r?w?m?/);
      assert.equal(read(group, "pids.max"), "40");
      if (!v2) {
        assert.equal(show(unit, "MemoryLimit"), String(64 << 20));
        assert.equal(show(unit, "CPUShares"), "2048");
        assert.equal(read(group, "memory.limit_in_bytes"), String(64 << 20));
        assert.equal(read(group, "cpu.shares"), "2048");
        return;
      }
      assert.equal(show(unit, "MemoryMax"), String(64 << 20));
      assert.equal(show(unit, "MemoryLow"), String(32 << 20));
      assert.equal(show(unit, "MemorySwapMax"), "0");
      assert.equal(show(unit, "AllowedCPUs"), "0");
      assert.equal(read(group, "memory.max"), String(64 << 20));
      assert.equal(read(group, "cpu.max"), "25000 50000");
      assert.equal(read(group, "cpuset.cpus"), "0");
    };
    expected();
    systemctl("daemon-reload");
    expected();
    const undo = await group.update({ memory: { limit: 128 << 20, swap: 128 << 20 }, pids: { limit: 50 } });
    assert.equal(show(unit, v2 ? "MemoryMax" : "MemoryLimit"), String(128 << 20));
    assert.equal(show(unit, "TasksMax"), "50");
    assert.equal(read(group, "pids.max"), "50");
    await undo();
    expected();
    // One that the kernel refuses changes nothing, neither in the files nor in the unit.
    await assert.rejects(group.update({ pids: { limit: 7 }, cpu: { cpus: "4095" } }));
    expected();
    // One without any properties.
    await group.update(v2 ? { unified: { "memory.oom.group": "1" } } : { memory: { swappiness: 10 } });
    await group.remove(signal);
    await gone(unit);
  },
);

test("a limit of one process holds, though another kept the scope", { skip: needs("pids") }, async () => {
  const group = await manager.create(newPath(), { pids: { limit: 1 } });
  await sleeperIn(group);
  await group.entered();
  assert.equal(read(group, "pids.max"), "1");
  await group.remove(signal);
});

test("devices are refused and allowed, and stay so when systemd applies its units anew", async () => {
  const devices = [...RESTRICTED_DEVICES, { allow: true, type: "c", major: 1, minor: 3, access: "rw" }];
  const group = await manager.create(newPath(), { devices });
  const { unifiedDirectory, tasksFiles } = group.entries();
  const enter = [...tasksFiles, ...(unifiedDirectory ? [join(unifiedDirectory, "cgroup.procs")] : [])]
    .map((file) => `echo 0 > ${file}`)
    .join(" && ");
  const open = (device: string): boolean => {
    try {
      execFileSync("sh", ["-c", `${enter} && exec head -c 0 ${device}`], { stdio: "pipe" });
      return true;
    } catch (error) {
      assert.match(String((error as { stderr: Buffer }).stderr), /Operation not permitted/);
      return false;
    }
  };
  for (const round of ["new", "reloaded", "property changed"]) {
    if (round === "reloaded") systemctl("daemon-reload");
    if (round === "property changed")
      systemctl("set-property", "--runtime", unitOf(group.path), "TasksMax=100");
    assert.ok(open("/dev/null"), round);
    assert.ok(open("/dev/zero"), round);
    assert.ok(!open("/dev/kmsg"), round);
  }
  await group.remove(signal);
});

test("a pod's slice is made for its containers, counted, and removed with all of them", async () => {
  const pod = manager.podPath(slice, "pod1");
  assert.equal(pod, `${mine}-pod1.slice`);
  const groups = await Promise.all([1, 2, 3].map(() => manager.create(newPath(pod), {})));
  const sleepers = await Promise.all(groups.map((group) => sleeperIn(group)));
  await Promise.all(groups.map((group) => group.entered()));
  assert.equal(show(pod, "ActiveState"), "active");
  const readings = await manager.readStats([pod, ...groups.map(({ path }) => path)]);
  assert.ok(readings.at(0));
  assert.equal(readings.at(1)?.processes, 1);
  const exits = sleepers.map((child) => once(child, "exit"));
  await manager.load(pod).remove(signal);
  await Promise.all(exits);
  for (const { path } of groups) await gone(unitOf(path));
  assert.equal(show(pod, "ActiveState"), "inactive");
  assert.ok(!existsSync(directoryOf(manager.load(pod), "memory")));
  await manager.load(pod).remove(signal);
});

test("another process takes over a scope, which then outlives the one that made it", async () => {
  const path = newPath();
  const program = `
    const { createCgroupManager } = await import(${JSON.stringify(join(import.meta.dirname, "../src/oci/cgroup-manager.ts"))});
    const group = await createCgroupManager({ driver: "systemd" }).create(${JSON.stringify(path)}, {});
    console.log("made");
    setInterval(() => {}, 1000);`;
  const maker = spawn(process.execPath, ["--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.add(maker);
  await once(maker.stdout, "data");
  await assert.rejects(manager.create(path, {}), { kind: "already-exists" });
  const group = manager.load(path);
  await group.hold();
  const ended = once(maker, "exit");
  maker.kill("SIGKILL");
  await ended;
  // The maker's holder goes by itself; ours stays.
  while ((await group.processes()).length > 0) await sleep(20);
  assert.equal(show(unitOf(path), "ActiveState"), "active");
  await group.remove(signal);
  await gone(unitOf(path));
});

test("what a maker that was killed leaves is collected, and its name can be used again", async () => {
  const path = newPath();
  const program = `
    const { createCgroupManager } = await import(${JSON.stringify(join(import.meta.dirname, "../src/oci/cgroup-manager.ts"))});
    await createCgroupManager({ driver: "systemd" }).create(${JSON.stringify(path)}, {});
    process.kill(process.pid, "SIGKILL");`;
  const maker = spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: "inherit" });
  await once(maker, "exit");
  const group = await manager.create(path, {});
  await group.remove(signal);
  await gone(unitOf(path));
});

test("systemd executing itself anew, and being asked for much at once, loses nothing", async () => {
  const before = await manager.create(newPath(), {});
  systemctl("daemon-reexec");
  const groups = await Promise.all(Array.from({ length: 12 }, () => manager.create(newPath(), {})));
  await Promise.all([before, ...groups].map((group) => sleeperIn(group)));
  await Promise.all([before, ...groups].map((group) => group.entered()));
  if (!needs("pids"))
    await Promise.all([before, ...groups].map((group) => group.update({ pids: { limit: 30 } })));
  await Promise.all([before, ...groups].map((group) => group.remove(signal)));
  for (const group of [before, ...groups]) await gone(unitOf(group.path));
});

test("what systemd refuses is told in its words, and leaves nothing", async () => {
  await assert.rejects(manager.create("x--y.slice:gantry:z", {}), { kind: "invalid-argument" });
  await assert.rejects(manager.create(`${slice}:gantry:a b`, {}), { kind: "invalid-argument" });
  assert.throws(() => manager.containerPath("/kubepods/pod1", "id"), { kind: "invalid-argument" });
  const path = newPath();
  await assert.rejects(
    manager.create(path, v2 ? { unified: { "no.such": "1" } } : { cpu: { burst: -7 } }),
    /no\.such|burst/,
  );
  await gone(unitOf(path));
});
