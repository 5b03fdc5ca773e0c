/** What a collection costs; what it deletes and what it leaves is in the tests of pulling. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Digest } from "../base/digest.ts";
import { silentLogger } from "../base/logger.ts";
import type { Snapshotter } from "../snapshotter/snapshotter.ts";
import { collectGarbage } from "./collect.ts";
import type { ContentStore } from "./content-store.ts";
import type { ImageRecords, StoredImage } from "./image-records.ts";
import { Leases } from "./lease.ts";
import { sha256 } from "./registry/fake-registry.ts";

test("a collection looks through the images once for what it leaves and once for what it deletes", async () => {
  const digest = (name: string): Digest => sha256(Buffer.from(name));
  const images = Array.from({ length: 50 }, (_, i) => ({
    id: digest(`config ${i}`),
    manifestDigest: digest(`manifest ${i}`),
    blobs: [digest(`config ${i}`), digest(`manifest ${i}`)],
    diffIds: [digest(`layer ${i}`)],
    chainId: digest(`layer ${i}`),
  })) as StoredImage[];
  const layers = new Set([...images.flatMap(({ diffIds }) => diffIds), digest("old layer")]);
  const snapshots = new Set(layers);
  const blobs = new Set([...images.flatMap((image) => image.blobs), digest("old blob")]);
  let looks = 0;
  const records = {
    list: () => {
      looks += 1;
      return images;
    },
  } as unknown as ImageRecords;
  const snapshotter = {
    list: () => [...snapshots].map((name) => ({ kind: "committed", name })),
    remove: async (name: Digest) => void snapshots.delete(name),
    layers: () => [...layers].map((diffId) => ({ diffId })),
    layerRemove: async (diffId: Digest) => void layers.delete(diffId),
  } as unknown as Snapshotter;
  const content = {
    list: () => [...blobs].map((blob) => ({ digest: blob, sizeBytes: 1 })),
    remove: async (blob: Digest) => void blobs.delete(blob),
  } as unknown as ContentStore;
  const context = { records, snapshotter, content, leases: new Leases(), log: silentLogger };
  await collectGarbage(context, new AbortController().signal);
  assert.ok(!layers.has(digest("old layer")) && !blobs.has(digest("old blob")));
  assert.equal(snapshots.size + layers.size + blobs.size, 200);
  assert.ok(looks < 12, `${looks} times`);
});
