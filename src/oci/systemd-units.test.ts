import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test, type TestContext } from "node:test";
import { FakeSystemd } from "./fake-systemd.ts";
import { createSystemdUnits, type SystemdUnits, type SystemdUnitsOptions } from "./systemd-units.ts";

const base = mkdtempSync(join(tmpdir(), "gantry-systemd-"));
after(() => rmSync(base, { recursive: true }));

let counter = 0;
function open(
  t: TestContext,
  options: SystemdUnitsOptions = {},
): { systemd: FakeSystemd; units: SystemdUnits } {
  const path = join(base, `s${counter++}`);
  const systemd = new FakeSystemd(path);
  const units = createSystemdUnits({ addresses: [{ path, isBus: false }], ...options });
  t.after(async () => {
    units.close();
    await systemd.close();
  });
  return { systemd, units };
}

test("a unit is started, changed, read and stopped; each call waits for its job", async (t) => {
  const { systemd, units } = open(t);
  await units.start("a-b.scope", [
    ["MemoryMax", ["t", "18446744073709551615"]],
    ["AllowedCPUs", ["ay", [5, 1]]],
    ["DeviceAllow", ["a(ss)", [["/dev/char/1:3", "rwm"]]]],
  ]);
  assert.deepEqual(systemd.units.get("a-b.scope")?.get("MemoryMax"), ["t", "18446744073709551615"]);
  const before = await units.read("a-b.scope", ["MemoryMax", "AllowedCPUs", "DeviceAllow", "Unknown"]);
  assert.deepEqual(before, [
    ["MemoryMax", ["t", "18446744073709551615"]],
    ["AllowedCPUs", ["ay", [5, 1]]],
    ["DeviceAllow", ["a(ss)", [["/dev/char/1:3", "rwm"]]]],
  ]);
  await units.change("a-b.scope", [["MemoryMax", ["t", "4096"]]]);
  assert.deepEqual(systemd.units.get("a-b.scope")?.get("MemoryMax"), ["t", "4096"]);
  await units.change("a-b.scope", before);
  assert.deepEqual(await units.read("a-b.scope", ["MemoryMax", "AllowedCPUs", "DeviceAllow"]), before);
  assert.equal(await units.version(), 252);
  await units.stop("a-b.scope");
  assert.equal(systemd.units.size, 0);
  await units.stop("a-b.scope");
  assert.equal(systemd.connections, 1);
});

test("the end of a job that is told before the call is answered counts", async (t) => {
  const { systemd, units } = open(t);
  systemd.signalFirst = true;
  await Promise.all(["a.scope", "b.scope", "c.scope"].map((unit) => units.start(unit, [])));
  assert.deepEqual([...systemd.units.keys()], ["a.scope", "b.scope", "c.scope"]);
});

test("what systemd refuses, and a job that fails, are told with the unit's name", async (t) => {
  const { systemd, units } = open(t);
  await units.start("a.scope", []);
  await assert.rejects(units.start("a.scope", []), {
    kind: "already-exists",
    message: /^unit a\.scope: systemd: StartTransientUnit: .*already loaded/,
  });
  await assert.rejects(units.change("none.scope", [["TasksMax", ["t", 1]]]), { kind: "not-found" });
  systemd.results.push("failed");
  await assert.rejects(units.start("b.scope", []), {
    kind: "failed-precondition",
    message: "unit b.scope: systemd: StartTransientUnit: failed",
  });
  systemd.refuse.set("StartTransientUnit", [
    "org.freedesktop.DBus.Error.PropertyReadOnly",
    "Cannot set property Foo, or unknown property.",
  ]);
  await assert.rejects(units.start("c.scope", []), { kind: "failed-precondition", message: /property Foo/ });
});

test("a systemd that hangs is given up: at the greeting, at a call, at a job", async (t) => {
  const path = join(base, "mute");
  const mute = new FakeSystemd(path, { mute: true });
  t.after(() => mute.close());
  const deaf = createSystemdUnits({ addresses: [{ path, isBus: false }], connectTimeoutMs: 30 });
  await assert.rejects(deaf.start("a.scope", []), {
    kind: "unavailable",
    message: /mute: no answer within 30 ms/,
  });

  const { systemd, units } = open(t, { replyTimeoutMs: 1000, jobTimeoutMs: 1000 });
  systemd.silent.add("StopUnit");
  await units.start("a.scope", []);
  await assert.rejects(units.stop("a.scope"), { kind: "deadline-exceeded", message: /StopUnit: no answer/ });
  systemd.silent.add("JobRemoved");
  await assert.rejects(units.start("b.scope", []), {
    kind: "deadline-exceeded",
    message: /unit b\.scope: .*the job was not done within 1000 ms/,
  });
});

test("a systemd that is absent is told with each socket that was tried, and found again when it is there", async (t) => {
  const missing = join(base, "missing");
  const late = join(base, "late");
  const addresses = [
    { path: missing, isBus: false },
    { path: late, isBus: true },
  ];
  const units = createSystemdUnits({ addresses });
  await assert.rejects(units.start("a.scope", []), {
    kind: "unavailable",
    message: /connect to .*missing: .*ENOENT.*; .*connect to .*late: .*ENOENT/,
  });
  const systemd = new FakeSystemd(late);
  t.after(async () => {
    units.close();
    await systemd.close();
  });
  await units.start("a.scope", []);
  assert.deepEqual(systemd.calls, [
    "Hello",
    "AddMatch type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'",
    "Subscribe",
    "StartTransientUnit a.scope",
  ]);
});

test("calls that come together share one connection, the first and the one after its end", async (t) => {
  const { systemd, units } = open(t);
  const names = ["a.scope", "b.scope", "c.scope"];
  await Promise.all(names.map((unit) => units.start(unit, [])));
  assert.equal(systemd.connections, 1);
  systemd.hangUp();
  await Promise.all(names.map((unit) => units.stop(unit)));
  assert.equal(systemd.connections, 2);
});

test("a connection that ends is opened again; a call that may be made twice is, another fails", async (t) => {
  const { systemd, units } = open(t);
  await units.start("a.scope", []);
  systemd.hangUp();
  await units.read("a.scope", ["TasksMax"]);
  systemd.hangUpAt.add("SetUnitProperties");
  await units.change("a.scope", [["TasksMax", ["t", 9]]]);
  assert.equal(systemd.connections, 3);
  systemd.hangUpAfter.add("StopUnit");
  await units.stop("a.scope");
  systemd.hangUpAfter.add("StartTransientUnit");
  await assert.rejects(units.start("b.scope", []), { kind: "unavailable" });
  assert.ok(systemd.units.has("b.scope"));
  await units.start("c.scope", []);
});

test("a connection does not keep a process alive, and an answer that is awaited does", async (t) => {
  const path = join(base, `s${counter++}`);
  const systemd = new FakeSystemd(path);
  t.after(() => systemd.close());
  const program = `
    const { createSystemdUnits } = await import(${JSON.stringify(join(import.meta.dirname, "systemd-units.ts"))});
    const units = createSystemdUnits({ addresses: [{ path: ${JSON.stringify(path)}, isBus: false }] });
    await units.start("a.scope", []);
    console.log("started");`;
  const { spawn } = await import("node:child_process");
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
  const code = await new Promise((resolve) => child.on("close", resolve));
  assert.deepEqual([code, text], [0, "started\n"]);
});

test("the library is not loaded until something is asked of systemd", () => {
  const program = `
    const { createCgroupManager } = await import(${JSON.stringify(join(import.meta.dirname, "cgroup-manager.ts"))});
    createCgroupManager({ driver: "systemd" }).load("a.slice:b:c");
    const { createRequire } = await import("node:module");
    const { cache } = createRequire(import.meta.url);
    console.log(Object.keys(cache).filter((name) => name.includes("dbus")).length);`;
  const out = execFileSync(process.execPath, ["--input-type=module", "-e", program], { encoding: "utf8" });
  assert.equal(out.trim(), "0");
});
