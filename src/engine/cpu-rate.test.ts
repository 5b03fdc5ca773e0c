import assert from "node:assert/strict";
import { test } from "node:test";
import { CpuRate } from "./cpu-rate.ts";

const SECOND = 1_000_000_000n;

test("the first rate is that since the start, the next ones those between polls", () => {
  const rate = new CpuRate(100n * SECOND, 0n);
  assert.equal(rate.next(110n * SECOND, 5n * SECOND), SECOND / 2n);
  assert.equal(rate.next(120n * SECOND, 25n * SECOND), 2n * SECOND);
  assert.equal(rate.next(130n * SECOND, 25n * SECOND), 0n);
});

test("polls close together share a rate; one right after the start has one too", () => {
  const rate = new CpuRate(100n * SECOND, 0n);
  assert.equal(rate.next(100n * SECOND, 0n), undefined);
  assert.equal(rate.next(100n * SECOND + SECOND / 10n, SECOND / 10n), SECOND);
  assert.equal(rate.next(102n * SECOND, SECOND), SECOND / 2n);
  assert.equal(rate.next(102n * SECOND + 1n, 9n * SECOND), SECOND / 2n);
  assert.equal(rate.next(104n * SECOND, 5n * SECOND), 2n * SECOND);
});

test("a counter that was set back gives zero, a clock that was set back a rate again", () => {
  const rate = new CpuRate(100n * SECOND, 0n);
  rate.next(110n * SECOND, 10n * SECOND);
  assert.equal(rate.next(120n * SECOND, SECOND), 0n);
  assert.equal(rate.next(20n * SECOND, 2n * SECOND), 0n);
  assert.equal(rate.next(30n * SECOND, 7n * SECOND), SECOND / 2n);
});
