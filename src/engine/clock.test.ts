import assert from "node:assert/strict";
import { test } from "node:test";
import { wallClockNs } from "./clock.ts";

const NS_PER_MS = 1_000_000n;

test("the wall clock reads what others read at that moment, and never the same twice", () => {
  let before = 0n;
  for (let i = 0; i < 1_000; i++) {
    const earliest = BigInt(Date.now()) * NS_PER_MS;
    const reading = wallClockNs();
    const latest = BigInt(Date.now() + 1) * NS_PER_MS;
    assert.ok(reading >= earliest && reading < latest, `${earliest} <= ${reading} < ${latest}`);
    assert.ok(reading > before, `${reading} after ${before}`);
    before = reading;
  }
});
