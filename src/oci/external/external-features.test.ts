import assert from "node:assert/strict";
import { test } from "node:test";
import { features } from "../command/features.ts";
import { parseFeatures } from "./external-features.ts";

const NONE = { ociVersionMax: undefined, recursiveReadOnlyMounts: false, userNamespaces: false };

test("our own runtime tells what it can do", () => {
  assert.deepEqual(parseFeatures(JSON.stringify(features())), {
    ociVersionMax: "1.3.0",
    recursiveReadOnlyMounts: true,
    userNamespaces: true,
  });
});

test("a text that is not the specification's says nothing", () => {
  for (const text of ["", "unknown command", "[]", "null", `{"mountOptions":"rro"}`, `{"linux":[]}`])
    assert.deepEqual(parseFeatures(text), NONE, text);
  assert.deepEqual(parseFeatures(`{"ociVersionMax":"1.0.2-dev"}`), { ...NONE, ociVersionMax: "1.0.2-dev" });
});
