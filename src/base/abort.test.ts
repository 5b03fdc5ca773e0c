import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { abortable } from "./abort.ts";

test("work that fails after its caller has gone, or when it had gone already, harms nobody", async () => {
  const gone = new AbortController();
  const work = Promise.withResolvers<void>();
  const caller = abortable(work.promise, gone.signal);
  gone.abort(new Error("gone"));
  await assert.rejects(caller, /gone/);
  await assert.rejects(abortable(Promise.reject(new Error("work failed")), gone.signal), /gone/);
  work.reject(new Error("work failed"));
  // An error that nobody caught fails the test here.
  await turn();
});
