/**
 * Controllers of v2 beside v1 in the real kernel: below groups of this test's own that look like a hybrid host's
 * hierarchies, as others use those of this host meanwhile. Needs root.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { kernelCgroupFiles } from "./cgroup-files.ts";
import { createCgroupManager } from "./cgroup-manager.ts";

const CONTROLLERS = "/sys/fs/cgroup/unified/cgroup.controllers";
const hybrid = existsSync(CONTROLLERS) && readFileSync(CONTROLLERS, "utf8").includes("hugetlb");
const skip = !hybrid && "no v2 hierarchy with hugetlb beside v1";
const PAGES = { hugepageLimits: [{ pageSize: "2MB", limit: 2 << 20 }] };
const top = `/gantry-test-unified-${process.pid}`;
const root = mkdtempSync(join(tmpdir(), "gantry-unified-"));
const mounts = [
  ["systemd", `/sys/fs/cgroup/systemd${top}/host`],
  ["unified", `/sys/fs/cgroup/unified${top}/host`],
] as const;
after(async () => {
  for (const [name] of mounts)
    if (existsSync(join(root, name, "cgroup.procs"))) execFileSync("umount", [join(root, name)]);
  rmSync(root, { recursive: true });
  if (hybrid) await createCgroupManager().load(top).remove(AbortSignal.timeout(10_000));
});

test(
  "hugetlb is enabled for limits, noted on the directories, and off again after the last",
  { skip },
  async () => {
    // Has the controller for as long as the test runs.
    const host = await createCgroupManager().create(`${top}/keeps`, PAGES);
    await createCgroupManager().create(`${top}/host`, {});
    for (const [name, source] of mounts) {
      mkdirSync(join(root, name));
      execFileSync("mount", ["--bind", source, join(root, name)]);
    }
    const unified = join(root, "unified");
    const below = (path: string): string =>
      readFileSync(join(unified, path, "cgroup.subtree_control"), "utf8").trim();
    mkdirSync(join(unified, "parent"));
    const one = await createCgroupManager({ root }).create("/parent/one", PAGES);
    const two = await createCgroupManager({ root }).create("/parent/two", {});
    await two.update(PAGES);
    for (const path of [unified, join(unified, "parent")])
      assert.equal(kernelCgroupFiles.note(path), "hugetlb");
    assert.equal(readFileSync(join(unified, "parent/two/hugetlb.2MB.max"), "utf8"), `${2 << 20}\n`);
    await one.remove(AbortSignal.timeout(10_000));
    assert.deepEqual([below(""), below("parent")], ["hugetlb", "hugetlb"]);
    assert.equal(await two.removeIfEmpty(), true);
    assert.deepEqual([below(""), below("parent")], ["", ""]);
    for (const path of [unified, join(unified, "parent")]) assert.equal(kernelCgroupFiles.note(path), "");
    // Again, and nothing of it is ours where somebody else was first.
    execFileSync("sh", ["-c", `echo +hugetlb > ${unified}/cgroup.subtree_control`]);
    const three = await createCgroupManager({ root }).create("/parent/three", PAGES);
    assert.equal(await three.removeIfEmpty(), true);
    assert.deepEqual([below(""), below("parent")], ["hugetlb", ""]);
    assert.equal(await host.removeIfEmpty(), true);
  },
);
