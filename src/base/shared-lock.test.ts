import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { SharedLock } from "./shared-lock.ts";

const never = new AbortController().signal;

test("sharers run together, and one alone runs by itself", async () => {
  const lock = new SharedLock();
  const order: string[] = [];
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
  const a = lock.shared(never, async () => {
    order.push("a");
    await gates[0].promise;
    order.push("a ends");
  });
  const b = lock.shared(never, async () => void order.push("b"));
  const alone = lock.alone(never, async () => {
    order.push("alone");
    await gates[1].promise;
    order.push("alone ends");
  });
  const later = lock.shared(never, async () => void order.push("later"));
  await b;
  gates[0].resolve();
  await a;
  gates[1].resolve();
  await Promise.all([alone, later]);
  assert.deepEqual(order, ["a", "b", "a ends", "alone", "alone ends", "later"]);
});

test("who gives up waiting holds nobody up, and who came before is still waited for", async () => {
  const lock = new SharedLock();
  const gate = Promise.withResolvers<void>();
  const held = lock.shared(never, () => gate.promise);
  const gone = new AbortController();
  const given = lock.alone(gone.signal, () => Promise.reject(new Error("must not run")));
  const behind = lock.shared(never, async () => "behind");
  gone.abort(new Error("client left"));
  await assert.rejects(given, /client left/);
  assert.equal(await behind, "behind");
  let ran = false;
  const alone = lock.alone(never, async () => void (ran = true));
  await Promise.resolve();
  assert.equal(ran, false);
  gate.resolve();
  await Promise.all([held, alone]);
  assert.equal(ran, true);
});

test("a lock that has been held often holds no memory for that", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const lock = new SharedLock();
  const heapAfter = async (times: number): Promise<number> => {
    for (let n = 0; n < times; n++) {
      await lock.shared(never, async () => undefined);
      if (n % 2 === 0) await lock.alone(never, async () => undefined);
    }
    await new Promise(setImmediate);
    collect();
    return process.memoryUsage().heapUsed;
  };
  // What one collection leaves is not always the least; a lock that kept something would grow in every round.
  let before = await heapAfter(1000);
  let grown = Infinity;
  for (let round = 0; round < 5 && grown >= 1 << 20; round++) {
    const after = await heapAfter(50_000);
    grown = after - before;
    before = after;
  }
  assert.ok(grown < 1 << 20, `${grown} bytes more, round by round`);
});
