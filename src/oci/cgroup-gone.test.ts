/** Groups that go while they are worked on, as systemd removes a scope's when its last process ends. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { kernelCgroupFiles, type CgroupFiles } from "./cgroup-files.ts";
import { killAll, removeDirectories } from "./cgroup-teardown.ts";
import { applyWrites } from "./cgroup-write.ts";

let base: string;
let group: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "gantry-gone-"));
  group = join(base, "a.scope");
  mkdirSync(group);
  for (const file of ["cgroup.procs", "cgroup.kill", "memory.max"]) writeFileSync(join(group, file), "");
});
afterEach(() => rmSync(base, { recursive: true }));

/** The group goes after the file was opened, or before. */
function goingWith(code: "ENODEV" | "ENOENT"): CgroupFiles {
  return {
    ...kernelCgroupFiles,
    write() {
      rmSync(group, { recursive: true });
      throw Object.assign(new Error(code), { code });
    },
  };
}

for (const code of ["ENODEV", "ENOENT"] as const) {
  test(`a group that goes while it is killed has been (${code})`, () => killAll(goingWith(code), group));

  test(`and while it is removed (${code})`, async () => {
    let turn = 0;
    const files: CgroupFiles = {
      ...goingWith(code),
      rmdir() {
        // A process was in it at first.
        throw Object.assign(new Error("rmdir"), { code: turn++ === 0 ? "EBUSY" : "ENOENT" });
      },
    };
    await removeDirectories(files, [group], AbortSignal.timeout(10_000));
  });

  test(`a limit for it says that it has gone (${code})`, () => {
    const write = { directory: group, file: "memory.max", value: "1000" };
    assert.throws(() => applyWrites(goingWith(code), [write]), { kind: "not-found", message: /has gone$/ });
  });
}
