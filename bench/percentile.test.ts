import assert from "node:assert/strict";
import { test } from "node:test";
import { summarize } from "./percentile.ts";

test("percentiles are values that were measured, by nearest rank", () => {
  assert.deepEqual(summarize([5]), { count: 1, p50: 5, p90: 5, p99: 5 });
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  assert.deepEqual(summarize(hundred), { count: 100, p50: 50, p90: 90, p99: 99 });
});

test("no values have no percentiles", () => {
  assert.throws(() => summarize([]));
});
