import assert from "node:assert/strict";
import { Readable } from "node:stream";
import test from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { collect } from "./exec-sync.ts";

function reachableBytes(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  return process.memoryUsage().heapUsed;
}

async function* singly(count: number, atEnd = (): void => undefined): AsyncGenerator<Buffer> {
  for (let index = 0; index < count; index++) yield Buffer.from([index % 256]);
  // What is garbage is known as such only in another turn.
  await nextTurn();
  atEnd();
}

test("output that comes byte by byte is not kept byte by byte", async () => {
  const count = 100_000;
  const before = reachableBytes();
  let grown = 0;
  const source = singly(count, () => (grown = reachableBytes() - before));
  const collected = await collect(Readable.from(source));
  assert.equal(collected.length, count);
  for (let index = 0; index < count; index += 997) assert.equal(collected[index], index % 256);
  // One Buffer for each byte takes some 60 MiB; what else the process does at the time, some.
  assert.ok(grown < 25 * 1024 * 1024, `grew by ${grown}`);
});

test("what is over the limit is dropped, and read", async () => {
  let ended = false;
  const source = Readable.from(singly(5000, () => (ended = true)));
  assert.equal((await collect(source, 3000)).length, 3000);
  assert.ok(ended);
});
