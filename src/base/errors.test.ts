import assert from "node:assert/strict";
import { test } from "node:test";
import { errorKind, GantryError, wrapError } from "./errors.ts";

test("an error without a kind is internal, an abort is cancelled, a timeout exceeded its deadline", async () => {
  assert.equal(errorKind(new Error("x")), "internal");
  assert.equal(errorKind("text"), "internal");
  assert.equal(errorKind(AbortSignal.abort().reason), "cancelled");
  const timeout = AbortSignal.timeout(1);
  await new Promise((resolve) => timeout.addEventListener("abort", resolve));
  assert.equal(errorKind(timeout.reason), "deadline-exceeded");
});

test("wrapping keeps the kind and puts the context before the message", () => {
  const wrapped = wrapError('container "ab"', new GantryError("not-found", "no such thing"));
  assert.equal(wrapped.kind, "not-found");
  assert.equal(wrapped.message, 'container "ab": no such thing');
});
