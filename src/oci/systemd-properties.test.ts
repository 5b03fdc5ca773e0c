import assert from "node:assert/strict";
import { test } from "node:test";
import type { DeviceRule, Resources } from "./runtime-spec.ts";
import { deviceProperties } from "./systemd-devices.ts";
import { namesUnit, sliceOfParent, slicePath, unitGroup } from "./systemd-names.ts";
import { bitsOf, resourceProperties } from "./systemd-properties.ts";

test("units and their groups are found from slice:prefix:name", () => {
  assert.deepEqual(unitGroup("kubepods-burstable-pod1_2.slice:gantry:ab12"), {
    unit: "gantry-ab12.scope",
    slice: "kubepods-burstable-pod1_2.slice",
    path: "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/gantry-ab12.scope",
  });
  assert.deepEqual(unitGroup("::x"), {
    unit: "x.scope",
    slice: "system.slice",
    path: "/system.slice/x.scope",
  });
  assert.equal(unitGroup("-.slice:p:x").path, "/p-x.scope");
  assert.deepEqual(unitGroup("ignored.slice:p:a-b.slice"), {
    unit: "a-b.slice",
    slice: "a.slice",
    path: "/a.slice/a-b.slice",
  });
  assert.deepEqual(unitGroup("a.slice").slice, "-.slice");
  for (const wrong of [
    "a.slice:b",
    "a.slice:b:c:d",
    "a.slice:b:",
    "a.slice:b:c/d",
    "a.slice:b:c@d",
    "a.slice:b:c d",
    `a.slice:b:${"x".repeat(250)}`,
    "a--b.slice:c:d",
    "-a.slice:c:d",
    "a-.slice:c:d",
    "a/b.slice:c:d",
    "../x.slice:c:d",
    "a:b.slice",
    "a.scope:c:d",
    "-.slice",
    ".slice",
  ])
    assert.throws(() => unitGroup(wrong), { kind: "invalid-argument" }, wrong);
  assert.ok(namesUnit("a.slice:b:c") && namesUnit("a-b.slice"));
  assert.ok(!namesUnit("/a:b:c") && !namesUnit("/a.slice"));
});

test("a cgroup parent is a slice by name or by where it is", () => {
  for (const parent of ["a-b.slice", "/a-b.slice".slice(1), "/a.slice/a-b.slice", "a.slice/a-b.slice/"])
    assert.equal(sliceOfParent(parent), "a-b.slice");
  assert.equal(sliceOfParent("/test.slice"), "test.slice");
  for (const parent of ["", "/", "/kubepods/pod1", "/b.slice/a-b.slice", "a.slice:b:c"])
    assert.throws(() => sliceOfParent(parent), { kind: "invalid-argument" }, parent);
  assert.equal(slicePath("a-b-c.slice"), "/a.slice/a-b.slice/a-b-c.slice");
});

const named = (resources: Resources, version: "v1" | "v2" = "v2", systemd = 252): Record<string, unknown> =>
  Object.fromEntries(
    resourceProperties(resources, version, systemd).map(([name, [, value]]) => [name, value]),
  );

test("resources become properties", () => {
  const infinity = "18446744073709551615";
  const resources: Resources = {
    memory: { limit: 1000, swap: 1500, reservation: 500 },
    cpu: { shares: 1024, quota: 33_333, period: 100_000, cpus: "0,2-3", mems: "0" },
    pids: { limit: 12 },
    blockIO: { weight: 10 },
  };
  assert.deepEqual(named(resources), {
    MemoryMax: "1000",
    MemoryLow: "500",
    MemorySwapMax: "500",
    CPUWeight: "100",
    CPUQuotaPeriodUSec: "100000",
    CPUQuotaPerSecUSec: "340000",
    AllowedCPUs: [0b1101],
    AllowedMemoryNodes: [1],
    TasksMax: "12",
    IOWeight: "1",
  });
  assert.deepEqual(named(resources, "v1"), {
    MemoryLimit: "1000",
    CPUShares: "1024",
    CPUQuotaPeriodUSec: "100000",
    CPUQuotaPerSecUSec: "340000",
    TasksMax: "12",
    BlockIOWeight: "10",
  });
  assert.deepEqual(named({ memory: { limit: -1 }, cpu: { quota: -1 }, pids: { limit: -1 } }), {
    MemoryMax: infinity,
    MemorySwapMax: infinity,
    CPUQuotaPerSecUSec: infinity,
    TasksMax: infinity,
  });
  assert.deepEqual(named({}), {});
  assert.deepEqual(named({ cpu: { idle: 1, shares: 512 } })["CPUWeight"], "0");
  assert.deepEqual(named({ cpu: { idle: 1 } }, "v2", 247), {});
  assert.deepEqual(
    named({
      memory: { limit: 4096 },
      unified: {
        "memory.max": "8192",
        "memory.high": "max",
        "cpu.max": "max 50000",
        "cpu.weight": "77",
        "pids.max": "5",
        "cpuset.cpus": "9",
        "memory.oom.group": "1",
      },
    }),
    {
      MemoryMax: "8192",
      MemoryHigh: infinity,
      CPUQuotaPeriodUSec: "50000",
      CPUQuotaPerSecUSec: infinity,
      CPUWeight: "77",
      TasksMax: "5",
      AllowedCPUs: [0, 2],
    },
  );
  assert.deepEqual(bitsOf("0-7,15"), [255, 128]);
});

const DRIVERS = "Character devices:\n  1 mem\n136 pts\n\nBlock devices:\n  8 sd\n259 blkext\n";
const devices = (rules: DeviceRule[]) =>
  Object.fromEntries(deviceProperties(rules, () => DRIVERS).map(([name, [, value]]) => [name, value]));

test("device rules become a list that allows at least what they allow", () => {
  const deny: DeviceRule = { allow: false, access: "rwm" };
  assert.deepEqual(
    devices([
      deny,
      { allow: true, type: "c", access: "m" },
      { allow: true, type: "c", major: 1, minor: 3, access: "rw" },
      { allow: true, type: "c", major: 136, access: "rwm" },
      { allow: true, type: "b", major: 8, minor: -1, access: "r" },
      { allow: true, type: "b", major: 99, access: "r" },
      { allow: true, type: "c", minor: 7, access: "r" },
      { allow: true, type: "c", major: 1, minor: 5 },
      { allow: false, type: "c", major: 1, minor: 5, access: "wm" },
      { allow: true, type: "c", major: 1, minor: 8 },
      { allow: false, type: "c", major: 1, minor: 8 },
    ]),
    {
      DevicePolicy: "strict",
      DeviceAllow: [
        ["char-*", "rm"],
        ["/dev/char/1:3", "rw"],
        ["char-pts", "rwm"],
        ["block-sd", "r"],
        ["block-*", "r"],
        ["/dev/char/1:5", "r"],
      ],
    },
  );
  assert.deepEqual(devices([{ allow: true, access: "rwm" }]), { DevicePolicy: "auto", DeviceAllow: [] });
  assert.deepEqual(devices([deny]), { DevicePolicy: "strict", DeviceAllow: [] });
  assert.deepEqual(
    devices([deny, { allow: true, type: "c", major: 1, minor: 3 }, { allow: false, access: "m" }]),
    {
      DevicePolicy: "strict",
      DeviceAllow: [["/dev/char/1:3", "rwm"]],
    },
  );
  // An exception from a wider rule cannot be said: the group's own rules refuse it.
  assert.deepEqual(
    devices([deny, { allow: true, type: "c" }, { allow: false, type: "c", major: 1 }])["DeviceAllow"],
    [["char-*", "rwm"]],
  );
});
