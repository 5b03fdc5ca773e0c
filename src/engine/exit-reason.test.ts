import assert from "node:assert/strict";
import { test } from "node:test";
import { exitReason } from "./exit-reason.ts";

const record = (exitCode: number, signal = 0, oomKilled = true) => ({
  exitCode,
  signal,
  exitedAtNs: 100n,
  oomKilled,
  shimLost: false,
});

test("the reason of an exit in a group in which the kernel has killed for memory", () => {
  assert.equal(exitReason(record(137, 9)), "OOMKilled");
  assert.equal(exitReason(record(137)), "OOMKilled", "a shell that lost its child");
  assert.equal(exitReason(record(1)), "OOMKilled", "a supervisor that gave up");
  assert.equal(exitReason(record(0)), "Completed", "one that went on");
  assert.equal(exitReason(record(143, 15)), "Error", "ended by SIGTERM");
  assert.equal(exitReason(record(143)), "Error", "the same, said by its program");
  assert.equal(exitReason(record(139, 11)), "Error");
  assert.equal(exitReason(record(137, 9), 90n), "Error", "killed by a stop");
  assert.equal(exitReason(record(137, 9), 110n), "OOMKilled", "dead before the stop's kill");
});

test("other exits", () => {
  assert.equal(exitReason(record(137, 9, false)), "Error");
  assert.equal(exitReason(record(0, 0, false)), "Completed");
  assert.equal(exitReason({ ...record(255), shimLost: true }), "Unknown");
});
