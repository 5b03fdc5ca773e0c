/** The systemd driver against a systemd that is not one, on a tree of files. */
import assert from "node:assert/strict";
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
  existsSync,
  readdirSync,
  unlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test, type TestContext } from "node:test";
import { kernelCgroupFiles, type CgroupFiles } from "./cgroup-files.ts";
import { createCgroupManager } from "./cgroup-manager.ts";
import { FakeSystemd } from "./fake-systemd.ts";
import { unitGroup } from "./systemd-names.ts";
import { createSystemdUnits } from "./systemd-units.ts";

const base = mkdtempSync(join(tmpdir(), "gantry-systemd-driver-"));
after(() => rmSync(base, { recursive: true }));
const FILES: Record<string, string> = {
  "cgroup.procs": "",
  "cgroup.controllers": "cpu memory pids",
  "cgroup.subtree_control": "cpu memory pids",
  "cgroup.kill": "",
  "memory.max": "max",
  "memory.swap.max": "max",
  "pids.max": "max",
  "cpu.weight": "100",
};
const PATH = "a-b.slice:gantry:id";
const DIRECTORY = "/a.slice/a-b.slice/gantry-id.scope";
const SCOPE = "gantry-id.scope";

let counter = 0;
function host(t: TestContext) {
  const root = join(base, `host${counter++}`);
  const fill = (directory: string): void => {
    mkdirSync(directory, { recursive: true });
    for (const [name, text] of Object.entries(FILES)) {
      const path = join(directory, name);
      if (!existsSync(path)) writeFileSync(path, text);
    }
  };
  fill(root);
  const refused = new Set<string>();
  const files: CgroupFiles = {
    ...kernelCgroupFiles,
    mkdir(directory) {
      const isNew = !existsSync(directory);
      fill(directory);
      return isNew;
    },
    rmdir(directory) {
      if (existsSync(directory)) for (const name of readdirSync(directory)) unlinkSync(join(directory, name));
      kernelCgroupFiles.rmdir(directory);
    },
    write(path, value) {
      if (refused.has(path.slice(path.lastIndexOf("/") + 1)))
        throw Object.assign(new Error("refused"), { code: "EINVAL" });
      kernelCgroupFiles.write(path, value);
    },
    writeAside: async (path, value) => files.write(path, value),
  };
  const socket = join(base, `socket${counter}`);
  const systemd = new FakeSystemd(socket);
  const holders: { pid: number; ended: boolean }[] = [];
  systemd.onStart = (unit, properties) => {
    const [, slice] = properties.get("Slice") ?? [];
    const directory = join(root, dirname(unitGroup(`${String(slice)}:x:y`).path), unit);
    fill(directory);
    const [, pids] = properties.get("PIDs") ?? [];
    writeFileSync(join(directory, "cgroup.procs"), `${(pids as number[]).join("\n")}\n`);
  };
  const place = systemd.onStart;
  systemd.onStart = (unit, properties) => {
    place(unit, properties);
    const [, slice] = properties.get("Slice") ?? [];
    properties.set("ControlGroup", ["s", join(dirname(unitGroup(`${String(slice)}:x:y`).path), unit)]);
  };
  const units = createSystemdUnits({ addresses: [{ path: socket, isBus: false }] });
  t.after(async () => {
    units.close();
    await systemd.close();
  });
  const manager = createCgroupManager({
    root,
    files,
    driver: "systemd",
    units,
    attachDeviceFilter: () => undefined,
    spawnHolder() {
      const holder = { pid: 4_000_000 + holders.length, ended: false };
      holders.push(holder);
      return {
        pid: holder.pid,
        end: async () => {
          holder.ended = true;
          const procs = join(root, DIRECTORY, "cgroup.procs");
          if (existsSync(procs)) writeFileSync(procs, "");
        },
      };
    },
  });
  const read = (file: string): string => readFileSync(join(root, DIRECTORY, file), "utf8").trim();
  const property = (name: string): unknown => systemd.units.get(SCOPE)?.get(name)?.[1];
  return { root, manager, systemd, holders, refused, read, property };
}

test("a scope is started with a process that holds it, and has its limits in its properties and its files", async (t) => {
  const { root, manager, systemd, holders, read, property } = host(t);
  assert.equal(manager.containerPath("/a.slice/a-b.slice", "id"), PATH);
  assert.equal(manager.podPath("a.slice", "b"), "a-b.slice");
  assert.equal(manager.directoryPath(PATH), DIRECTORY);
  const group = await manager.create(PATH, { memory: { limit: 8192, swap: 8192 }, pids: { limit: 5 } });
  assert.deepEqual(
    ["Slice", "Delegate", "DefaultDependencies", "CollectMode", "PIDs", "MemoryMax", "TasksMax"].map(
      property,
    ),
    ["a-b.slice", true, false, "inactive-or-failed", [4_000_000], "8192", "5"],
  );
  assert.deepEqual(["memory.max", "memory.swap.max", "pids.max"].map(read), ["8192", "0", "5"]);
  assert.deepEqual(group.entries(), { unifiedDirectory: join(root, DIRECTORY), tasksFiles: [] });
  assert.deepEqual(await group.processes(), []);
  assert.equal(holders[0]?.ended, false);
  await group.entered();
  await group.entered();
  assert.equal(holders[0]?.ended, true);
  const undo = await group.update({ memory: { limit: 4096, swap: 4096 } });
  assert.deepEqual([read("memory.max"), property("MemoryMax")], ["4096", "4096"]);
  await undo();
  assert.deepEqual([read("memory.max"), property("MemoryMax")], ["8192", "8192"]);
  await manager.load(PATH).remove(AbortSignal.timeout(5000));
  assert.ok(!group.exists());
  assert.deepEqual(systemd.calls.slice(-2), [`StopUnit ${SCOPE}`, `ResetFailedUnit ${SCOPE}`]);
});

test("an update that the kernel or systemd refuses leaves both as they were", async (t) => {
  const { manager, systemd, refused, read, property } = host(t);
  const group = await manager.create(PATH, { memory: { limit: 8192, swap: 8192 }, pids: { limit: 5 } });
  const unchanged = (): void =>
    assert.deepEqual(
      [read("memory.max"), property("MemoryMax"), read("pids.max"), property("TasksMax")],
      ["8192", "8192", "5", "5"],
    );
  refused.add("pids.max");
  await assert.rejects(group.update({ memory: { limit: 4096, swap: 4096 }, pids: { limit: 6 } }));
  unchanged();
  refused.clear();
  systemd.refuse.set("SetUnitProperties", ["org.freedesktop.DBus.Error.InvalidArgs", "no"]);
  await assert.rejects(group.update({ memory: { limit: 4096, swap: 4096 } }), { kind: "invalid-argument" });
  unchanged();
});

test("a limit of one process is put off until the holder has gone", async (t) => {
  const { manager, read, property } = host(t);
  const group = await manager.create(PATH, { pids: { limit: 1 } });
  assert.deepEqual([read("pids.max"), property("TasksMax")], ["2", "2"]);
  await group.entered();
  assert.deepEqual([read("pids.max"), property("TasksMax")], ["1", "1"]);
});

test("a limit that was put off is dropped with a first process that has ended, and its unit", async (t) => {
  const { root, manager, systemd, holders } = host(t);
  const group = await manager.create(PATH, { pids: { limit: 1 } });
  systemd.units.delete(SCOPE);
  rmSync(join(root, DIRECTORY), { recursive: true });
  await group.entered();
  assert.equal(holders[0]?.ended, true);
});

test("a creation that fails leaves no holder, no unit and no directory", async (t) => {
  const { root, manager, systemd, holders, refused } = host(t);
  const failed = async (pattern: RegExp): Promise<void> => {
    await assert.rejects(manager.create(PATH, { pids: { limit: 5 } }), pattern);
    assert.ok(holders.every(({ ended }) => ended));
    assert.equal(systemd.units.size, 0);
    assert.ok(!existsSync(join(root, DIRECTORY)));
  };
  refused.add("pids.max");
  await failed(/pids\.max/);
  refused.clear();
  systemd.results.push("timeout");
  await failed(/StartTransientUnit: timeout/);
  systemd.refuse.set("StartTransientUnit", ["org.freedesktop.DBus.Error.AccessDenied", "Access denied"]);
  await failed(/Access denied/);
  systemd.refuse.clear();
  await assert.rejects(manager.create("a--b.slice:x:y", {}), { kind: "invalid-argument" });
  assert.equal((await manager.create(PATH, {})).exists(), true);
});

test("a unit in the way: one with processes is another's, one without is replaced, one with our holder is ours", async (t) => {
  const { root, manager, systemd, holders } = host(t);
  await manager.create(PATH, {});
  await assert.rejects(manager.create(PATH, {}), { kind: "already-exists" });
  assert.deepEqual(
    holders.map(({ ended }) => ended),
    [false, true],
  );
  writeFileSync(join(root, DIRECTORY, "cgroup.procs"), "");
  await manager.create(PATH, {});
  assert.ok(systemd.calls.includes(`StopUnit ${SCOPE}`));
  await manager.load(PATH).remove(AbortSignal.timeout(5000));
  systemd.hangUpAfter.add("StartTransientUnit");
  const group = await manager.create(PATH, {});
  assert.equal(holders.at(-1)?.ended, false);
  assert.ok(group.exists());
});

test("a unit of the same name in another slice is left alone", async (t) => {
  const { manager, systemd } = host(t);
  await manager.create("other.slice:gantry:id", {});
  await assert.rejects(manager.create(PATH, {}), { kind: "already-exists" });
  await manager.load(PATH).remove(AbortSignal.timeout(5000));
  assert.ok(!systemd.calls.some((call) => call.startsWith("StopUnit")));
});

test("a scope is removed without systemd, a slice is not", async (t) => {
  const { manager, systemd } = host(t);
  const group = await manager.create(PATH, {});
  await systemd.close();
  await group.remove(AbortSignal.timeout(5000));
  assert.ok(!group.exists());
  await assert.rejects(manager.load("a-b.slice").remove(AbortSignal.timeout(5000)), { kind: "unavailable" });
});

test("paths of directories are made as by the cgroupfs driver, whatever the driver", async (t) => {
  const { root, manager, systemd } = host(t);
  const group = await manager.create("/plain/one", {});
  assert.ok(existsSync(join(root, "plain/one/cgroup.procs")));
  await group.entered();
  await group.remove(AbortSignal.timeout(5000));
  assert.deepEqual(systemd.calls, []);
  assert.throws(() => manager.containerPath("/plain", "one"), { kind: "invalid-argument" });
});
