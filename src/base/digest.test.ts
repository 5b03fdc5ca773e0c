import assert from "node:assert/strict";
import { test } from "node:test";
import { digestHex, isDigest, parseDigest } from "./digest.ts";

const HEX = "ab".repeat(32);

test("a sha256 digest is taken and its hex part given", () => {
  assert.equal(digestHex(parseDigest(`sha256:${HEX}`)), HEX);
});

for (const bad of [
  "",
  HEX,
  `sha512:${HEX}`,
  `sha256:${HEX}0`,
  `sha256:${HEX.slice(1)}`,
  `sha256:${HEX.toUpperCase()}`,
  "sha256:../../etc/passwd",
  `sha256:${"a/".repeat(32)}`,
  ` sha256:${HEX}`,
  `sha256:${HEX}\n`,
]) {
  test(`${JSON.stringify(bad)} is no digest`, () => {
    assert.equal(isDigest(bad), false);
    assert.throws(() => parseDigest(bad), { kind: "invalid-argument" });
  });
}
