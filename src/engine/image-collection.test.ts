import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { GantryError } from "../base/errors.ts";
import { silentLogger } from "../base/logger.ts";
import type { ImageService } from "../image/image.ts";
import { collectingImages } from "./image-collection.ts";

const signal = new AbortController().signal;

/** Counts collections, each of which ends when it is let go. */
class Collected {
  begun = 0;
  #running = Promise.withResolvers<void>();

  service(): ImageService {
    return {
      collect: () => {
        this.begun += 1;
        return this.#running.promise;
      },
      remove: () => Promise.resolve(),
      pull: () => Promise.reject(new GantryError("unavailable", "no registry")),
    } as unknown as ImageService;
  }

  async end(): Promise<void> {
    this.#running.resolve();
    this.#running = Promise.withResolvers();
    await sleep(1);
  }
}

test("one collection at the start; removals meanwhile cause one more together", async () => {
  const collected = new Collected();
  const images = collectingImages(collected.service(), silentLogger);
  await images.remove("a", signal);
  await images.remove("b", signal);
  assert.equal(collected.begun, 1);
  await collected.end();
  assert.equal(collected.begun, 2);
  await collected.end();
  assert.equal(collected.begun, 2);
});

test("what a failed pull has left is collected after a while", async () => {
  const collected = new Collected();
  const images = collectingImages(collected.service(), silentLogger, 20);
  await collected.end();
  for (const reference of ["a", "b"])
    await assert.rejects(images.pull({ reference }, signal), { kind: "unavailable" });
  assert.equal(collected.begun, 1);
  while (collected.begun === 1) await sleep(5);
  await collected.end();
  await sleep(60);
  assert.equal(collected.begun, 2, "once for both");
});
