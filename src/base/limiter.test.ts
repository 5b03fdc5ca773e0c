import assert from "node:assert/strict";
import test from "node:test";
import { Limiter } from "./limiter.ts";

const never = new AbortController().signal;

test("a place that is free is taken, one that is not is waited for in order", async () => {
  const limiter = new Limiter(1);
  const first = Promise.withResolvers<void>();
  const order: string[] = [];
  const running = limiter.run(never, () => first.promise);
  const waiting = ["a", "b"].map((name) => limiter.run(never, async () => void order.push(name)));
  assert.equal(limiter.unused, false);
  first.resolve();
  await Promise.all([running, ...waiting]);
  assert.deepEqual(order, ["a", "b"]);
  assert.equal(limiter.unused, true);
});

test("who aborts while waiting goes at once, and leaves its place to the next", async () => {
  const limiter = new Limiter(1);
  const first = Promise.withResolvers<void>();
  const running = limiter.run(never, () => first.promise);
  const gone = new AbortController();
  const waiting = limiter.run(gone.signal, () => Promise.reject(new Error("was run")));
  const next = limiter.run(never, () => Promise.resolve("next"));
  gone.abort(new Error("gone"));
  await assert.rejects(waiting, /gone/);
  // Aborted in the same turn in which its place comes.
  const both = new AbortController();
  const late = limiter.run(both.signal, () => Promise.reject(new Error("was run")));
  first.resolve();
  both.abort(new Error("late"));
  await assert.rejects(late, /late/);
  assert.equal(await next, "next");
  await running;
  assert.equal(limiter.unused, true);
});
