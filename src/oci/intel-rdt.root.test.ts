/**
 * Processes of a container in its resctrl class. A hierarchy of control groups without controllers stands in for resctrl:
 * its directories have a `tasks` file of the same meaning, and go as those do. Needs root.
 */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { intelRdtTasks, prepareIntelRdt, removeIntelRdt } from "./intel-rdt.ts";
import { TestContainer } from "./plan-test-container.ts";

test("a container's first process is born into its class, which goes when it has ended", async (context) => {
  const root = mkdtempSync(join(tmpdir(), "gantry-rdt-"));
  const hierarchy = `gantry-rdt-${process.pid}`;
  const mounted = spawnSync("mount", ["-t", "cgroup", "-o", `none,name=${hierarchy}`, "cgroup", root]);
  if (mounted.status !== 0) {
    rmdirSync(root);
    return context.skip("this kernel has no control groups of the first version to stand in");
  }
  const container = new TestContainer();
  try {
    prepareIntelRdt({}, "box", root);
    const cgroup = { tasksFiles: intelRdtTasks({}, "box", root) };
    const { stdout, message } = await container.run(container.spec("cat /proc/self/cgroup"), { cgroup });
    assert.equal(message, undefined);
    assert.match(stdout, new RegExp(`:name=${hierarchy}:/box\n`));
    removeIntelRdt({}, "box", root);
    assert.ok(!existsSync(join(root, "box")));
  } finally {
    container.dispose();
    execFileSync("umount", [root]);
    rmdirSync(root);
  }
});
