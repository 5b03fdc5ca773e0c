/** Pulling as a whole: platforms, identity, sharing, cancelling, restarting, collecting. */
import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { digestHex, type Digest } from "../base/digest.ts";
import { errorKind } from "../base/errors.ts";
import { addImage } from "./fake-image.ts";
import { openTestService, type TestService } from "./fake-service.ts";
import type { ImageRecord } from "./image.ts";
import type { ImageServiceOptions } from "./image-service.ts";
import { DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from "./media-type.ts";
import { FakeRegistry } from "./registry/fake-registry.ts";

const signal = new AbortController().signal;

async function setUp(
  t: TestContext,
  options: Partial<ImageServiceOptions> = {},
): Promise<TestService & { registry: FakeRegistry; host: string }> {
  const service = openTestService(options);
  const registry = await new FakeRegistry().start();
  t.after(async () => {
    await service.close();
    await registry.stop();
  });
  return { ...service, registry, host: registry.host };
}

async function pull(service: TestService, reference: string): Promise<ImageRecord> {
  return await service.images.pull({ reference }, signal);
}

function entry(image: { manifestDigest: Digest; manifestBytes: Buffer }, architecture: string): object {
  return {
    mediaType: OCI_MANIFEST,
    digest: image.manifestDigest,
    size: image.manifestBytes.length,
    platform: { os: "linux", architecture },
  };
}

test("a pulled image has its record, its layers and its chain", async (t) => {
  const service = await setUp(t);
  const { images, registry, host, snapshotter } = service;
  const image = addImage(registry, "a/b", "1", ["one", "two", "three"]);
  const record = await pull(service, `${host}/a/b:1`);
  assert.equal(record.id, image.id);
  assert.deepEqual(record.repoTags, [`${host}/a/b:1`]);
  assert.deepEqual(record.repoDigests, [`${host}/a/b@${image.manifestDigest}`]);
  assert.equal(record.manifestDigest, image.manifestDigest);
  assert.deepEqual(record.diffIds, image.diffIds);
  assert.deepEqual(record.config.cmd, ["/bin/sh"]);
  const sizes = [image.id, ...image.blobDigests].map((digest) => registry.blobs.get(digest)?.length ?? 0);
  assert.equal(
    record.sizeBytes,
    sizes.reduce((a, b) => a + b),
  );
  assert.equal(snapshotter.layers().length, 3);
  const top = snapshotter.stat(record.chainId as string);
  assert.equal(
    snapshotter.stat(snapshotter.stat(top?.parent as string)?.parent as string)?.name,
    image.diffIds[0],
  );

  for (const name of [
    `${host}/a/b:1`,
    `${host}/a/b@${image.manifestDigest}`,
    image.id,
    digestHex(image.id),
    digestHex(image.id).slice(0, 12),
    image.id.slice(0, 20),
  ]) {
    assert.equal(images.get(name)?.id, image.id, name);
  }
  for (const name of [
    `${host}/a/b`,
    `${host}/a/b:2`,
    "a/b:1",
    image.manifestDigest,
    digestHex(image.id).slice(0, 11),
    "",
    "UPPER",
    "deadbeefdead",
  ]) {
    assert.equal(images.get(name), undefined, name);
  }
  const raw = await images.rawConfig(image.id);
  assert.equal((JSON.parse(raw as string) as { os: string }).os, "linux");
  assert.equal(await images.rawConfig(image.manifestDigest), undefined);
  const { usage, directory } = await images.usage();
  assert.equal(directory, snapshotter.directory);
  assert.equal(
    usage.bytes,
    3 + 3 + 5 + (registry.blobs.get(image.id)?.length ?? 0) + image.manifestBytes.length,
  );
});

test("an image without layers is one", async (t) => {
  const service = await setUp(t);
  addImage(service.registry, "empty", "1", []);
  const record = await pull(service, `${service.host}/empty:1`);
  assert.equal(record.chainId, undefined);
  assert.ok(record.sizeBytes > 0);
});

test("a layer that occurs twice is fetched once", async (t) => {
  const service = await setUp(t);
  const image = addImage(service.registry, "twice", "1", ["same", "other", "same"]);
  const record = await pull(service, `${service.host}/twice:1`);
  assert.equal(record.diffIds.length, 3);
  assert.equal(service.registry.matching(image.blobDigests[0] as string).length, 1);
});

test("an index leads to this platform's manifest, also through another index", async (t) => {
  const service = await setUp(t);
  const { registry, host } = service;
  const amd64 = addImage(registry, "multi", undefined, ["amd64"]);
  const arm64 = addImage(registry, "multi", undefined, ["arm64"]);
  const inner = registry.addManifest(
    "multi",
    undefined,
    { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [entry(arm64, "arm64"), entry(amd64, "amd64")] },
    OCI_INDEX,
  );
  const outer = {
    schemaVersion: 2,
    mediaType: OCI_INDEX,
    manifests: [{ mediaType: OCI_INDEX, digest: inner.digest, size: inner.bytes.length }],
  };
  const { digest } = registry.addManifest("multi", "1", outer, OCI_INDEX);
  const record = await pull(service, `${host}/multi:1`);
  assert.equal(record.id, amd64.id);
  assert.equal(record.manifestDigest, amd64.manifestDigest);
  assert.deepEqual(record.repoDigests, [`${host}/multi@${digest}`]);
  await pull(service, `${host}/multi@${digest}`);
  assert.deepEqual(service.images.get(amd64.id)?.repoTags, [`${host}/multi:1`]);
});

test("an index without this platform, a bottomless one and one that lies about sizes are refused", async (t) => {
  const service = await setUp(t);
  const { registry, host } = service;
  const arm = addImage(registry, "bad", undefined, ["arm"]);
  const index = (manifests: object[]): object => ({ schemaVersion: 2, mediaType: OCI_INDEX, manifests });
  registry.addManifest("bad", "arm", index([entry(arm, "s390x")]), OCI_INDEX);
  await assert.rejects(pull(service, `${host}/bad:arm`), {
    kind: "not-found",
    message: /no image for platform linux\/amd64/,
  });
  registry.addManifest(
    "bad",
    "size",
    index([{ ...entry(arm, "amd64"), size: arm.manifestBytes.length + 1 }]),
    OCI_INDEX,
  );
  await assert.rejects(pull(service, `${host}/bad:size`), { kind: "data-loss", message: /bytes, not/ });
  registry.addManifest("bad", "small", index([{ ...entry(arm, "amd64"), size: 10 }]), OCI_INDEX);
  await assert.rejects(pull(service, `${host}/bad:small`), { kind: "resource-exhausted" });
  let nested = { ...entry(arm, "amd64") };
  for (let depth = 0; depth < 6; depth += 1) {
    const { digest, bytes } = registry.addManifest("bad", "deep", index([nested]), OCI_INDEX);
    nested = { mediaType: OCI_INDEX, digest, size: bytes.length };
  }
  await assert.rejects(pull(service, `${host}/bad:deep`), { kind: "data-loss", message: /nested too deep/ });
});

test("a manifest and a configuration that disagree on the layers are refused", async (t) => {
  const service = await setUp(t);
  addImage(service.registry, "app", "1", ["a", "b"], {
    config: { rootfs: { type: "layers", diff_ids: [] } },
  });
  await assert.rejects(pull(service, `${service.host}/app:1`), {
    kind: "data-loss",
    message: /has 2 layers, its config 0/,
  });
});

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

test("equal pulls at once share everything; equal layers of different images, too", async (t) => {
  const service = await setUp(t);
  const { registry, host } = service;
  const one = addImage(registry, "one", "1", ["shared layer", "one"]);
  addImage(registry, "two", "1", ["shared layer", "two"]);
  const gate = Promise.withResolvers<void>();
  service.unpacker.gate = gate.promise;
  const pulls = [`${host}/one:1`, `${host}/one:1`, `${host}/two:1`].map(
    async (reference) => await pull(service, reference),
  );
  while (registry.requests.length < 4) await new Promise((resolve) => setTimeout(resolve, 5));
  gate.resolve();
  const records = await Promise.all(pulls);
  assert.equal(records[0]?.id, one.id);
  assert.equal(registry.matching(one.blobDigests[0] as string).length, 1);
  assert.equal(registry.matching("/one/manifests/").length, 1);
  assert.equal(service.snapshotter.layers().length, 3);
});

test("a pull does not profit from the credentials of another at the same time", async (t) => {
  const service = await setUp(t);
  const { registry, host } = service;
  addImage(registry, "app", "1", ["x"]);
  registry.intercept = (request, response) => {
    if (request.headers.authorization !== undefined) return false;
    response.writeHead(401, { "www-authenticate": "Basic realm=r" }).end();
    return true;
  };
  const gate = Promise.withResolvers<void>();
  service.unpacker.gate = gate.promise;
  const reference = `${host}/app:1`;
  const allowed = service.images.pull({ reference, auth: { username: "u", password: "p" } }, signal);
  while (service.snapshotter.begun.size === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await assert.rejects(pull(service, reference), { kind: "unauthenticated" });
  gate.resolve();
  await allowed;
});

test("a pull that waits for another's broken download tries with its own registry", async (t) => {
  const service = await setUp(t);
  const broken = await new FakeRegistry().start();
  t.after(async () => await broken.stop());
  const good = addImage(service.registry, "app", "1", ["layer"]);
  addImage(broken, "app", "1", ["layer"]);
  const gate = Promise.withResolvers<void>();
  broken.intercept = async (request, response) => {
    if (!request.url.includes(good.blobDigests[0] as string)) return false;
    await gate.promise;
    response.writeHead(403).end();
    return true;
  };
  const first = pull(service, `${broken.host}/app:1`);
  const failing = assert.rejects(first, { kind: "permission-denied" });
  while (broken.matching(good.blobDigests[0] as string).length === 0)
    await new Promise((resolve) => setTimeout(resolve, 5));
  const second = pull(service, `${service.host}/app:1`);
  while (service.registry.matching("/manifests/").length === 0)
    await new Promise((resolve) => setTimeout(resolve, 5));
  await new Promise((resolve) => setTimeout(resolve, 50));
  gate.resolve();
  await failing;
  assert.equal((await second).id, good.id);
});

test("a cancelled pull goes on for others, and stops when nobody waits", async (t) => {
  const service = await setUp(t);
  const { registry, host, snapshotter } = service;
  const image = addImage(registry, "app", "1", ["first", "second"]);
  let stalled = 0;
  let closed = 0;
  registry.intercept = (request, response) => {
    if (!request.url.includes(image.blobDigests[1] as string)) return false;
    stalled += 1;
    response.writeHead(200, { "content-length": 100 }).write("x");
    response.on("close", () => (closed += 1));
    return true;
  };
  const one = new AbortController();
  const two = new AbortController();
  const pulls = [one, two].map(
    async (each) => await service.images.pull({ reference: `${host}/app:1` }, each.signal),
  );
  const ends = pulls.map(
    async (each) => await assert.rejects(each, (error: unknown) => errorKind(error) === "cancelled"),
  );
  while (stalled === 0 || snapshotter.layers().length === 0)
    await new Promise((resolve) => setTimeout(resolve, 5));
  one.abort();
  await ends[0];
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.equal(closed, 0, "the other caller still waits");
  two.abort();
  await ends[1];
  while (closed === 0 || snapshotter.begun.size > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(service.images.list(), []);
  assert.deepEqual(
    snapshotter.layers().map(({ diffId }) => diffId),
    [image.diffIds[0]],
    "what was finished stays",
  );
  registry.intercept = () => false;
  registry.requests.length = 0;
  await pull(service, `${host}/app:1`);
  assert.equal(registry.matching(image.blobDigests[0] as string).length, 0);
});

test("a deadline ends a pull", async (t) => {
  const service = await setUp(t);
  service.registry.intercept = () => true;
  await assert.rejects(
    service.images.pull({ reference: `${service.host}/app:1` }, AbortSignal.timeout(50)),
    (error: unknown) => errorKind(error) === "deadline-exceeded",
  );
});

test("the first layer that fails stops the others", async (t) => {
  const service = await setUp(t);
  const { registry, host, snapshotter } = service;
  const image = addImage(registry, "app", "1", ["hangs", "fails"]);
  registry.intercept = (request, response) => {
    if (request.url.includes(image.blobDigests[0] as string)) return true;
    if (!request.url.includes(image.blobDigests[1] as string)) return false;
    response.writeHead(403).end();
    return true;
  };
  await assert.rejects(pull(service, `${host}/app:1`), { kind: "permission-denied" });
  while (snapshotter.begun.size > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(snapshotter.layers(), []);
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

test("bad references and credentials are refused before anything is asked", async (t) => {
  const service = await setUp(t);
  for (const reference of ["", "UPPER/case", "a@sha256:1", "../../etc/passwd", `${service.host}/a b`]) {
    await assert.rejects(pull(service, reference), { kind: "invalid-argument" }, reference);
  }
  await assert.rejects(
    service.images.pull({ reference: `${service.host}/a`, auth: { auth: "%%%" } }, signal),
    { kind: "invalid-argument" },
  );
  assert.equal(service.registry.requests.length, 0);
});

test("a closed service ends its pulls", async (t) => {
  const service = await setUp(t);
  service.registry.intercept = () => true;
  const pulling = assert.rejects(
    pull(service, `${service.host}/app:1`),
    (error: unknown) => errorKind(error) === "cancelled",
  );
  while (service.registry.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await service.images.close();
  await pulling;
});
