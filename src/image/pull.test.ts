/** Pulling as a whole: what is recorded, platforms, documents that contradict each other. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { digestHex, type Digest } from "../base/digest.ts";
import { addImage } from "./fake-image.ts";
import { OCI_INDEX, OCI_MANIFEST } from "./media-type.ts";
import { pull, setUp, signal } from "./pull-test-setup.ts";

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

test("the size of a configuration that is here already is checked like any other", async (t) => {
  const service = await setUp(t);
  const { registry, host } = service;
  addImage(registry, "app", "true", ["layer"]);
  addImage(registry, "app", "false", ["layer"], {
    change: (manifest) => ((manifest["config"] as { size: number }).size += 1),
  });
  await pull(service, `${host}/app:true`);
  await assert.rejects(pull(service, `${host}/app:false`), {
    kind: "data-loss",
    message: /image config sha256:[0-9a-f]+ has [0-9]+ bytes, not [0-9]+/,
  });
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
