import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { layeredFileKind, readLayeredFile } from "./layered-file.ts";

test("a path that leads round and round in hundreds of layers is given up", (t) => {
  const root = mkdtempSync(join(tmpdir(), "gantry-layers-"));
  t.after(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, "a/deep"), { recursive: true });
  writeFileSync(join(root, "file"), "here");
  symlinkSync("a/../".repeat(800), join(root, "round"));
  const layers = Array.from({ length: 500 }, () => root);
  assert.equal(layeredFileKind(layers, `${"a/../".repeat(60)}a/deep`), "directory");
  assert.equal(readLayeredFile(layers, "a/../file", 10)?.toString(), "here");
  assert.equal(layeredFileKind(layers, `${"a/../".repeat(70)}a/deep`), undefined);
  assert.equal(layeredFileKind(layers, `${"round/".repeat(30)}a`), undefined);
});
