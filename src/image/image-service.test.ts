/** Image records over time: names, restarts, collection, pinning. */
import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { digestHex, type Digest } from "../base/digest.ts";
import { addImage } from "./fake-image.ts";
import { openTestService } from "./fake-service.ts";
import { DOCKER_MANIFEST } from "./media-type.ts";
import { pull, setUp, signal } from "./pull-test-setup.ts";

test("an unchanged image costs one HEAD, a moved tag leaves the old image without it", async (t) => {
  const service = await setUp(t);
  const { registry, host, images } = service;
  const old = addImage(registry, "app", "1", ["base", "old"]);
  const reference = `${host}/app:1`;
  await pull(service, reference);
  registry.requests.length = 0;
  await pull(service, reference);
  assert.deepEqual(
    registry.requests.map(({ method }) => method),
    ["HEAD"],
  );
  const fresh = addImage(registry, "app", "1", ["base", "new"]);
  registry.requests.length = 0;
  await pull(service, reference);
  assert.equal(
    registry.matching(old.blobDigests[0] as string).length,
    0,
    "the shared layer is not fetched again",
  );
  assert.equal(images.get(reference)?.id, fresh.id);
  assert.deepEqual(images.get(old.id)?.repoTags, []);
  assert.deepEqual(images.get(old.id)?.repoDigests, [`${host}/app@${old.manifestDigest}`]);
});

test("one configuration under several names is one image, and goes with all of them", async (t) => {
  const service = await setUp(t);
  const { registry, host, images } = service;
  const image = addImage(registry, "one", "1", ["x"]);
  addImage(registry, "two", "latest", ["x"], {
    mediaType: DOCKER_MANIFEST,
  });
  await pull(service, `${host}/one:1`);
  const record = await pull(service, `${host}/two`);
  assert.deepEqual(record.repoTags, [`${host}/one:1`, `${host}/two:latest`]);
  assert.equal(record.repoDigests.length, 2);
  assert.equal(images.list().length, 1);
  await images.remove(`${host}/one:1`, signal);
  assert.deepEqual(images.list(), []);
  assert.equal(images.get(image.id), undefined);
  await images.remove(`${host}/one:1`, signal);
  await images.remove("no such:::image", signal);
});

test("records survive a restart; an image whose layers are gone does not", async (t) => {
  const service = await setUp(t);
  const { registry, host, snapshotter } = service;
  const kept = addImage(registry, "kept", "1", ["kept"]);
  const lost = addImage(registry, "lost", "1", ["lost"]);
  await pull(service, `${host}/kept:1`);
  await pull(service, `${host}/lost:1`);
  snapshotter.snapshots.delete(lost.diffIds[0] as string);
  const again = service.reopen();
  assert.deepEqual(
    again.list().map(({ id }) => id),
    [kept.id],
  );
  assert.equal(again.get(`${host}/kept:1`)?.id, kept.id);
});

test("collection deletes what no image, container or pull needs, and nothing else", async (t) => {
  const service = await setUp(t);
  const { registry, host, images, snapshotter } = service;
  const used = addImage(registry, "used", "1", ["base", "used"]);
  const kept = addImage(registry, "kept", "1", ["base", "kept"]);
  const gone = addImage(registry, "gone", "1", ["base", "gone"]);
  for (const name of ["used", "kept", "gone"]) await pull(service, `${host}/${name}:1`);
  await images.collect();
  assert.equal(snapshotter.layers().length, 4, "all is needed");
  await snapshotter.prepare("c".repeat(64), images.get(used.id)?.chainId);
  await images.remove(used.id, signal);
  await images.remove(gone.id, signal);

  // A pull under way holds its first layer, which no image names yet.
  const pending = addImage(registry, "pending", "1", ["pending", "stalls"]);
  const gate = Promise.withResolvers<void>();
  registry.intercept = async (request) => {
    if (request.url.includes(pending.blobDigests[1] as string)) await gate.promise;
    return false;
  };
  const pulling = pull(service, `${host}/pending:1`);
  while (!snapshotter.hasLayer(pending.diffIds[0] as Digest))
    await new Promise((resolve) => setTimeout(resolve, 5));

  await Promise.all([images.collect(), images.collect()]);
  const layers = (): Digest[] => snapshotter.layers().map(({ diffId }) => diffId);
  assert.deepEqual(new Set(layers()), new Set([...used.diffIds, kept.diffIds[1], pending.diffIds[0]]));
  const blobs = (): string[] => readdirSync(join(service.directory, "content/blobs/sha256"));
  assert.deepEqual(
    new Set(blobs()),
    new Set([kept.id, kept.manifestDigest, pending.id, pending.manifestDigest].map(digestHex)),
  );
  gate.resolve();
  const record = await pulling;
  await images.collect();
  assert.equal(layers().includes(pending.diffIds[0] as Digest), true);

  await snapshotter.remove("c".repeat(64));
  for (const id of [kept.id, record.id]) await images.remove(id, signal);
  await images.collect();
  assert.deepEqual([layers(), blobs(), snapshotter.list()], [[], [], []]);
  assert.equal((await images.usage()).usage.bytes, 0);
});

test("a damaged blob is fetched anew", async (t) => {
  const service = await setUp(t);
  const { registry, host, snapshotter } = service;
  const image = addImage(registry, "app", "1", ["x"]);
  await pull(service, `${host}/app:1`);
  writeFileSync(join(service.directory, "content/blobs/sha256", digestHex(image.id)), "damaged");
  await assert.rejects(service.images.rawConfig(image.id), { kind: "data-loss" });
  snapshotter.snapshots.clear();
  const record = await pull(service, `${host}/app:1`);
  assert.equal(record.id, image.id);
  assert.match((await service.images.rawConfig(image.id)) ?? "", /amd64/);
});

test("layer blobs are kept where that is asked for, and collected with the image", async (t) => {
  const service = await setUp(t, { keepLayerBlobs: true });
  const { registry, host, images } = service;
  const image = addImage(registry, "app", "1", ["x", "y"]);
  await pull(service, `${host}/app:1`);
  await images.collect();
  const blobs = (): string[] => readdirSync(join(service.directory, "content/blobs/sha256"));
  for (const digest of image.blobDigests) assert.ok(blobs().includes(digestHex(digest)));
  await images.remove(image.id, signal);
  await images.collect();
  assert.deepEqual(blobs(), []);
});

test("pinned images are marked, by reference and by pattern, and can be removed all the same", async (t) => {
  const service = await setUp(t, { pinnedImages: ["127.0.0.1:*/pause*", "busybox"] });
  const { registry, host, images } = service;
  addImage(registry, "pause", "3.10", ["p"]);
  addImage(registry, "app", "1", ["a"]);
  assert.equal((await pull(service, `${host}/pause:3.10`)).pinned, true);
  assert.equal((await pull(service, `${host}/app:1`)).pinned, false);
  await images.remove(`${host}/pause:3.10`, signal);
  assert.equal(images.list().length, 1);
  assert.throws(() => openTestService({ pinnedImages: ["Not A Reference"] }), { kind: "invalid-argument" });
});
