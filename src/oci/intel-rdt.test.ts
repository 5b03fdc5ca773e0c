/** What is written for a class, in directories that stand in for a resctrl filesystem. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { intelRdtTasks, prepareIntelRdt, removeIntelRdt, resctrlRoot, updateIntelRdt } from "./intel-rdt.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "gantry-rdt-"));
});
afterEach(() => rmSync(root, { recursive: true }));

const schemata = (group: string): string => readFileSync(join(root, group, "schemata"), "utf8");

/** The kernel's own files go with a directory of it; those here must be taken away first. */
function emptied(group: string): void {
  rmSync(join(root, group, "schemata"), { force: true });
  rmSync(join(root, group, "mon_groups"), { recursive: true, force: true });
}

test("the mount is found among others, whatever its path", () => {
  const mountinfo = [
    "22 1 8:1 / / rw - ext4 /dev/sda1 rw",
    "30 22 0:20 / /sys/fs/res\\040ctrl rw,nosuid shared:3 - resctrl resctrl rw",
  ].join("\n");
  assert.equal(resctrlRoot(mountinfo), "/sys/fs/res ctrl");
  assert.equal(resctrlRoot("22 1 8:1 / /resctrl rw - ext4 /dev/sda1 rw"), undefined);
});

test("without a closID the class is the container's, and goes with it", () => {
  const rdt = { l3CacheSchema: "L3:0=f", memBwSchema: "MB:0=20", schemata: ["L2:0=3", "MB:0=30"] };
  prepareIntelRdt(rdt, "box", root);
  assert.equal(schemata("box"), "L3:0=f\nMB:0=20\nL2:0=3\nMB:0=30\n");
  assert.deepEqual(intelRdtTasks(rdt, "box", root), [join(root, "box/tasks")]);
  const before = schemata("box");
  const takeBack = updateIntelRdt(rdt, "box", ["MB:0=40"], root);
  assert.equal(schemata("box"), "MB:0=40\n");
  takeBack();
  assert.equal(schemata("box"), before);
  assert.throws(() => updateIntelRdt(undefined, "box", ["MB:0=40"], root), /made without a class/);
  emptied("box");
  removeIntelRdt(rdt, "box", root);
  assert.ok(!existsSync(join(root, "box")));
  removeIntelRdt(rdt, "box", root);
});

test("a class without schemata is written nothing", () => {
  prepareIntelRdt({}, "box", root);
  assert.ok(!existsSync(join(root, "box/schemata")));
});

test("a named class is made where it is missing, and stays", () => {
  const rdt = { closID: "gold", schemata: ["L3:0=7f0;1=1f"] };
  prepareIntelRdt(rdt, "box", root);
  assert.equal(schemata("gold"), "L3:0=7f0;1=1f\n");
  removeIntelRdt(rdt, "box", root);
  assert.ok(existsSync(join(root, "gold")));
});

test("a named class that exists must be what is asked for", () => {
  mkdirSync(join(root, "gold"));
  writeFileSync(join(root, "gold/schemata"), "    MB:0= 20;1= 70\n    L3:0=007f0;1=0001f\n");
  prepareIntelRdt({ closID: "gold" }, "box", root);
  prepareIntelRdt({ closID: "gold", l3CacheSchema: "L3:0=7F0;1=1f", memBwSchema: "MB:1=70" }, "box", root);
  for (const schema of ["L3:0=7f1;1=1f", "L2:0=f", "L3:2=1f"])
    assert.throws(
      () => prepareIntelRdt({ closID: "gold", schemata: [schema] }, "box", root),
      new RegExp(`linux\\.intelRdt: class .*gold" exists, and not with ${schema}`),
    );
  assert.throws(() => prepareIntelRdt({ closID: "lead" }, "box", root), /there is no class "lead"/);
});

test("monitoring has a group of the container's own in any class", () => {
  const rdt = { closID: "/", enableMonitoring: true };
  mkdirSync(join(root, "mon_groups"));
  prepareIntelRdt(rdt, "box", root);
  const monitor = join(root, "mon_groups/box");
  assert.deepEqual(intelRdtTasks(rdt, "box", root), [join(root, "tasks"), join(monitor, "tasks")]);
  removeIntelRdt(rdt, "box", root);
  assert.ok(!existsSync(monitor) && existsSync(root));
});

test("what the kernel says about a refusal is passed on, and nothing is left", () => {
  mkdirSync(join(root, "info"));
  writeFileSync(join(root, "info/last_cmd_status"), "no monitoring here\n");
  // As there is no directory mon_groups in the new class.
  assert.throws(
    () => prepareIntelRdt({ enableMonitoring: true }, "box", root),
    /linux\.intelRdt: .* \(no monitoring here\)/,
  );
  assert.ok(!existsSync(join(root, "box")));
});

test("without resctrl the error names it, and nobody asks where nothing is wanted", (context) => {
  prepareIntelRdt(undefined, "box");
  assert.deepEqual(intelRdtTasks(undefined, "box"), []);
  removeIntelRdt({}, "box", undefined);
  if (resctrlRoot() !== undefined) return context.skip("this machine has resctrl");
  for (const use of [prepareIntelRdt, intelRdtTasks])
    assert.throws(() => use({}, "box"), /linux\.intelRdt: no resctrl filesystem is mounted/);
});
