/** Labels of files, really set; the attribute is one that needs no SELinux. Needs root. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { labelTree } from "./label.ts";
import { lookupFile } from "./files.ts";

const ATTRIBUTE = "trusted.overlay.opaque";

test("a tree is labelled to its last file, through no link and on no other filesystem", async (t) => {
  const root = mkdtempSync(join(tmpdir(), "gantry-label-"));
  t.after(() => rmSync(root, { recursive: true }));
  for (const name of ["tree/a/b", "outside", "tree/mounted"])
    mkdirSync(join(root, name), { recursive: true });
  symlinkSync("../outside", join(root, "tree/link"));
  symlinkSync("tree", join(root, "top"));
  writeFileSync(join(root, "tree/a/file"), "");
  execFileSync("mount", ["-t", "tmpfs", "tmpfs", join(root, "tree/mounted")]);
  try {
    mkdirSync(join(root, "tree/mounted/inner"));
    await labelTree(join(root, "tree"), ATTRIBUTE, "y");
    const isLabelled = (path: string): boolean | undefined => lookupFile(root, Buffer.from(path))?.opaque;
    for (const path of ["tree", "tree/a", "tree/a/b"]) assert.equal(isLabelled(path), true, path);
    assert.equal(isLabelled("outside"), false);
    assert.equal(lookupFile(join(root, "tree/mounted"), Buffer.from("inner"))?.opaque, false);
  } finally {
    execFileSync("umount", [join(root, "tree/mounted")]);
  }
  const before = statSync(join(root, "tree/a"), { bigint: true }).ctimeNs;
  await labelTree(join(root, "tree/a"), ATTRIBUTE, "y");
  assert.equal(statSync(join(root, "tree/a"), { bigint: true }).ctimeNs, before, "it has it already");
  await labelTree(join(root, "tree/a/file"), "security.selinux", "system_u:object_r:container_file_t:s0");
  for (const path of ["top", "top/a", "missing"])
    await assert.rejects(labelTree(join(root, path), ATTRIBUTE, "y"), { kind: "failed-precondition" });
});
