/**
 * V2 groups in the real kernel: in the v2 hierarchy of this host, which on a hybrid one has few controllers, so that
 * what needs the others is tested on a tree of files (cgroup-layouts.test.ts).
 */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
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
const signal = AbortSignal.timeout(30_000);
after(async () => await manager?.load(parent).remove(AbortSignal.timeout(10_000)));

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
