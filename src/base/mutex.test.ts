import assert from "node:assert/strict";
import { test } from "node:test";
import { KeyedMutex } from "./mutex.ts";

const never = new AbortController().signal;

test("one holder at a time for a key, in order of arrival; other keys do not wait", async () => {
  const mutex = new KeyedMutex();
  const order: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = mutex.run("a", never, async () => {
    await gate.promise;
    order.push("a1");
  });
  const second = mutex.run("a", never, () => Promise.resolve(order.push("a2")));
  await mutex.run("b", never, () => Promise.resolve(order.push("b")));
  gate.resolve();
  await Promise.all([first, second]);
  assert.deepEqual(order, ["b", "a1", "a2"]);
});

test("a failing holder lets the next one in", async () => {
  const mutex = new KeyedMutex();
  await assert.rejects(mutex.run("a", never, () => Promise.reject(new Error("broken"))));
  assert.equal(await mutex.run("a", never, () => Promise.resolve(7)), 7);
});

test("an abort while waiting rejects and does not run the work", async () => {
  const mutex = new KeyedMutex();
  const gate = Promise.withResolvers<void>();
  const first = mutex.run("a", never, () => gate.promise);
  const leaver = new AbortController();
  let ran = false;
  const second = mutex.run("a", leaver.signal, () => Promise.resolve((ran = true)));
  leaver.abort(new Error("gone"));
  await assert.rejects(second, /gone/);
  gate.resolve();
  await first;
  assert.equal(ran, false);
  assert.equal(await mutex.run("a", never, () => Promise.resolve(3)), 3);
});
