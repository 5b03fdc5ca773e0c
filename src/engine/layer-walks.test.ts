import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { silentLogger } from "../base/logger.ts";
import type { Usage } from "../snapshotter/snapshotter.ts";
import { LayerWalks, type WalkedContainer } from "./layer-walks.ts";

const entry = (id: string): WalkedContainer => ({ container: { id } });
const usage = (bytes: number): Usage => ({ bytes, inodes: 1 });

test("the first call waits for a quick walk; the next has what is known, and walks no more for a while", async () => {
  let walks = 0;
  const subject = new LayerWalks(
    async () => usage(++walks),
    () => true,
    silentLogger,
  );
  const container = entry("a");
  assert.equal((await subject.sizes([container]))[0]?.usedBytes, 1);
  assert.equal((await subject.sizes([container]))[0]?.usedBytes, 1);
  assert.equal(walks, 1);
});

test("a slow walk is not waited for, and its result is there when it has ended", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const walk = Promise.withResolvers<Usage>();
  const subject = new LayerWalks(
    () => walk.promise,
    () => true,
    silentLogger,
  );
  const container = entry("a");
  const first = subject.sizes([container]);
  t.mock.timers.tick(1000);
  assert.deepEqual(await first, [undefined]);
  // Without a timer that could end it: nobody waits twice.
  assert.deepEqual(await subject.sizes([container]), [undefined]);
  walk.resolve(usage(7));
  await turn();
  assert.equal((await subject.sizes([container]))[0]?.usedBytes, 7);
});

test("a size that has become old is given while a new walk goes on beside", async () => {
  const walks = [Promise.resolve(usage(1)), Promise.withResolvers<Usage>()] as const;
  let next = 0;
  const subject = new LayerWalks(
    () => (next++ === 0 ? walks[0] : walks[1].promise),
    () => true,
    silentLogger,
  );
  const container = entry("a");
  await subject.sizes([container]);
  assert.ok(container.layer && container.layer.dueMs > performance.now());
  container.layer.dueMs = 0;
  assert.equal((await subject.sizes([container]))[0]?.usedBytes, 1);
  assert.equal((await subject.sizes([container]))[0]?.usedBytes, 1);
  assert.equal(next, 2);
  walks[1].resolve(usage(2));
  await turn();
  assert.equal((await subject.sizes([container]))[0]?.usedBytes, 2);
});

test("two walks at once, and none of a container that was deleted while it waited", async () => {
  const running: PromiseWithResolvers<Usage>[] = [];
  const walked: string[] = [];
  const gone = new Set<string>();
  const subject = new LayerWalks(
    (key) => {
      walked.push(key);
      running.push(Promise.withResolvers<Usage>());
      return running.at(-1)?.promise as Promise<Usage>;
    },
    ({ container }) => !gone.has(container.id),
    silentLogger,
  );
  const entries = ["a", "b", "c", "d"].map(entry);
  const sizes = subject.sizes(entries);
  await turn();
  assert.deepEqual(walked, ["a", "b"]);
  gone.add("c");
  running[0]?.resolve(usage(1));
  await turn();
  assert.deepEqual(walked, ["a", "b", "d"]);
  running[1]?.resolve(usage(2));
  running[2]?.resolve(usage(4));
  assert.deepEqual(
    (await sizes).map((size) => size?.usedBytes),
    [1, 2, undefined, 4],
  );
});

test("a walk that fails is no error of the call, keeps what was known, and is not repeated at once", async () => {
  let fails = false;
  let walks = 0;
  const subject = new LayerWalks(
    async () => {
      walks++;
      if (fails) throw new Error("gone");
      return usage(5);
    },
    () => true,
    silentLogger,
  );
  const container = entry("a");
  await subject.sizes([container]);
  fails = true;
  if (container.layer) container.layer.dueMs = 0;
  await subject.sizes([container]);
  await turn();
  assert.equal((await subject.sizes([container]))[0]?.usedBytes, 5);
  assert.equal(walks, 2);
});
