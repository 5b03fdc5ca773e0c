import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseMountOptions, propagationFlags } from "./plan-mount-options.ts";

describe("mount options", () => {
  test("are sorted by what takes them", () => {
    const parsed = parseMountOptions([
      "rbind",
      "ro",
      "nosuid",
      "rnoexec",
      "rslave",
      "size=1k",
      "noatime",
      "defaults",
    ]);
    assert.equal(parsed.bind, "rbind");
    assert.deepEqual(parsed.own, { set: 0x13n, clear: 0x70n });
    assert.deepEqual(parsed.recursive, { set: 0x8n, clear: 0n });
    assert.equal(parsed.propagation, (1n << 19n) | 0x4000n);
    assert.deepEqual(parsed.parameters, ["size=1k"]);
  });

  test("later ones win", () => {
    assert.deepEqual(parseMountOptions(["ro", "rw"]).own, { set: 0n, clear: 1n });
    assert.deepEqual(parseMountOptions(["rw", "ro"]).own, { set: 1n, clear: 0n });
    assert.deepEqual(parseMountOptions(["noatime", "relatime"]).own, { set: 0n, clear: 0x70n });
    assert.deepEqual(parseMountOptions(["rro", "rrw"]).recursive, { set: 0n, clear: 1n });
  });

  test("that start with r are not all recursive ones", () => {
    const parsed = parseMountOptions(["rw", "relatime", "rprivate"]);
    assert.deepEqual(parsed.recursive, { set: 0n, clear: 0n });
    assert.deepEqual(parsed.parameters, []);
  });

  test("know propagation by name", () => {
    assert.equal(propagationFlags("shared"), 1n << 20n);
    assert.equal(propagationFlags("rshared"), (1n << 20n) | 0x4000n);
    assert.equal(propagationFlags("ro"), undefined);
  });
});
