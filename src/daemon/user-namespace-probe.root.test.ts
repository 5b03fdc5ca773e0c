/** The probe for user namespaces, on filesystems that can and on one that cannot. Needs root. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { probeUserNamespaces } from "./user-namespace-probe.ts";

const directory = mkdtempSync(join(tmpdir(), "gantry-probe-"));
after(() => rmSync(directory, { recursive: true }));

test("overlays and bind mounts can be id-mapped here, and nothing is left of the probe", async () => {
  for (const snapshotter of ["overlayfs", "copy"])
    assert.equal(await probeUserNamespaces(directory, snapshotter), undefined, snapshotter);
  assert.deepEqual(readdirSync(directory), []);
});

test("a filesystem that cannot be id-mapped is the reason", async () => {
  execFileSync("mount", ["-t", "ramfs", "none", directory]);
  try {
    assert.match(
      (await probeUserNamespaces(directory, "copy")) ?? "",
      /the filesystem of .*probe-user-namespace\/fs cannot be id-mapped by this kernel/,
    );
  } finally {
    execFileSync("umount", [directory]);
  }
});
