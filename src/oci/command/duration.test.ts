import assert from "node:assert/strict";
import { test } from "node:test";
import { durationMs } from "./duration.ts";

test("durations, whole and in parts", () => {
  const cases: [string, number][] = [
    ["5s", 5000],
    ["100ms", 100],
    ["1m30s", 90_000],
    ["1.5h", 5_400_000],
    ["-2s", -2000],
    ["0", 0],
    [".5s", 500],
  ];
  for (const [text, ms] of cases) assert.equal(durationMs(text), ms, text);
  for (const text of ["", "5", "s", "5x", "1s x", "1 s", "--1s"])
    assert.throws(() => durationMs(text), /invalid duration/, text);
});
