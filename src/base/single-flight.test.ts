import assert from "node:assert/strict";
import { test } from "node:test";
import { SingleFlight } from "./single-flight.ts";

const never = new AbortController().signal;

test("equal calls under way share one execution", async () => {
  const flights = new SingleFlight<number>();
  let runs = 0;
  const gate = Promise.withResolvers<void>();
  const work = async (): Promise<number> => {
    runs += 1;
    await gate.promise;
    return runs;
  };
  const both = Promise.all([flights.do("a", never, work), flights.do("a", never, work)]);
  gate.resolve();
  assert.deepEqual(await both, [1, 1]);
  assert.equal(await flights.do("a", never, work), 2);
});

test("a caller that leaves does not stop the others", async () => {
  const flights = new SingleFlight<string>();
  const gate = Promise.withResolvers<void>();
  const leaver = new AbortController();
  let inner: AbortSignal | undefined;
  const work = async (signal: AbortSignal): Promise<string> => {
    inner = signal;
    await gate.promise;
    return "done";
  };
  const first = flights.do("a", leaver.signal, work);
  const second = flights.do("a", never, work);
  leaver.abort(new Error("gone"));
  await assert.rejects(first, /gone/);
  assert.equal(inner?.aborted, false);
  gate.resolve();
  assert.equal(await second, "done");
});

test("the work is aborted when the last caller has left, and a new call starts afresh", async () => {
  const flights = new SingleFlight<string>();
  const leaver = new AbortController();
  let inner: AbortSignal | undefined;
  const call = flights.do("a", leaver.signal, (signal) => {
    inner = signal;
    return new Promise(() => undefined);
  });
  leaver.abort(new Error("gone"));
  await assert.rejects(call, /gone/);
  assert.equal(inner?.aborted, true);
  assert.equal(flights.has("a"), false);
  assert.equal(await flights.do("a", never, () => Promise.resolve("new")), "new");
});

test("a failure reaches every caller and is not remembered", async () => {
  const flights = new SingleFlight<string>();
  const fail = (): Promise<string> => Promise.reject(new Error("broken"));
  const results = await Promise.allSettled([flights.do("a", never, fail), flights.do("a", never, fail)]);
  assert.deepEqual(
    results.map((result) => result.status),
    ["rejected", "rejected"],
  );
  assert.equal(await flights.do("a", never, () => Promise.resolve("fine")), "fine");
});
