import assert from "node:assert/strict";
import { test } from "node:test";
import { layerPath, whiteoutOf } from "./entry-path.ts";

test("names become paths below the root", () => {
  const cases = {
    "a/b": "a/b",
    "/etc/x": "etc/x",
    "./a//b/": "a/b",
    "a/../b": "b",
    "a/./.b/..c": "a/.b/..c",
    "./": "",
    "/": "",
    "": "",
    "a/..": "",
  };
  for (const [name, path] of Object.entries(cases)) assert.equal(layerPath(name), path, name);
});

test("what leads out, or cannot be a name, is refused and named", () => {
  for (const name of [
    "..",
    "../x",
    "a/../../x",
    "/../etc/passwd",
    "a\0b",
    "n".repeat(256),
    "d/".repeat(2100),
  ]) {
    assert.throws(() => layerPath(name), { kind: "invalid-argument", message: /^entry "/ }, name);
  }
});

test("whiteouts", () => {
  assert.deepEqual(whiteoutOf("a/b.wh.c"), { kind: "none" });
  assert.deepEqual(whiteoutOf("a/.wh.b"), { kind: "file", path: "a/b" });
  assert.deepEqual(whiteoutOf(".wh.b"), { kind: "file", path: "b" });
  assert.deepEqual(whiteoutOf("a/.wh..wh..opq"), { kind: "opaque", directory: "a" });
  assert.deepEqual(whiteoutOf(".wh..wh..opq"), { kind: "opaque", directory: "" });
  assert.deepEqual(whiteoutOf(".wh..wh.plnk"), { kind: "ignored" });
  for (const path of [".wh.", "a/.wh.", ".wh..", "a/.wh..."]) {
    assert.throws(() => whiteoutOf(path), { kind: "invalid-argument" }, path);
  }
});
