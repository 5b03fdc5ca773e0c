/**
 * Images through the CRI, from the real registry and from one that behaves badly: names and ids, pulls that are given
 * up, that hang, that meet removals, and removal under a running container.
 */
import assert from "node:assert/strict";
import { status as code } from "@grpc/grpc-js";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type CriClient, criClient } from "../src/cri/client.ts";
import { assertHoldings, holdings } from "./harness/holdings.ts";
import { file, type Layer, layerOf, pushImage, pushManifest } from "./harness/image-builder.ts";
import { MoodyRegistry } from "./harness/moody-registry.ts";
import { BUSYBOX, makeSetting, type Setting } from "./harness/setting.ts";
import { Workload } from "./harness/workload.ts";

const INDEX = "application/vnd.oci.image.index.v1+json";
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";

let setting: Setting;
let moody: MoodyRegistry;
let client: CriClient;
let work: Workload;
let idle: string[] = [];

before(async () => {
  // What a mirror is, is written before there is a registry behind it.
  const upstream = { host: "" };
  moody = await MoodyRegistry.start(() => upstream.host);
  setting = await makeSetting({
    mirrors: { "docker.io": moody.host, "moody.test": moody.host },
    pullProgressTimeoutSeconds: 10,
  });
  upstream.host = setting.registry.host;
  client = criClient(setting.daemon.endpoint);
  work = await Workload.begin(setting);
  idle = await holdings(setting.daemon);
});
after(async () => {
  work?.end();
  client?.close();
  await setting?.finish();
  await moody?.stop();
});

/** Random, so that it does not shrink. */
function layer(name: string, bytes = 100_000): Layer {
  return layerOf([file(name, crypto.getRandomValues(new Uint8Array(Math.min(bytes, 65_536))))]);
}

async function push(name: string, layers: readonly Layer[]): Promise<string> {
  return await pushImage(setting.registry.host, name, layers, { Cmd: ["x"] });
}

async function pull(image: string): Promise<string> {
  return (await client.PullImage({ image: { image } })).image_ref;
}

async function remove(image: string): Promise<void> {
  await client.RemoveImage({ image: { image } });
}

test("every form of reference leads to the one image", async () => {
  const digest = await push("library/forms:latest", [layer("forms")]);
  await pushManifest(
    setting.registry.host,
    "library/forms",
    "index",
    INDEX,
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: INDEX,
        manifests: [
          {
            mediaType: MANIFEST,
            digest,
            size: await manifestSize("library/forms", digest),
            platform: { os: "linux", architecture: process.arch === "arm64" ? "arm64" : "amd64" },
          },
        ],
      }),
    ),
  );
  const names = [
    "forms",
    "forms:latest",
    "library/forms",
    "docker.io/forms",
    "index.docker.io/library/forms:latest",
    `forms@${digest}`,
    `docker.io/library/forms:of-no-account@${digest}`,
    "forms:index",
    `${setting.registry.host}/library/forms`,
  ];
  const ids = new Set<string>();
  for (const name of names) ids.add(await pull(name));
  assert.equal(ids.size, 1, "one image id");
  const { image } = await client.ImageStatus({ image: { image: "forms" } });
  assert.deepEqual(image?.repo_tags.toSorted(compare), [
    `${setting.registry.host}/library/forms:latest`,
    "docker.io/library/forms:index",
    "docker.io/library/forms:latest",
  ]);
  assert.equal(image?.repo_digests.length, 3, "manifest and index, and the manifest by the other registry");
  for (const name of [...names, ...image.repo_tags, ...image.repo_digests, image.id, image.id.slice(7, 20)]) {
    const found = await client.ImageStatus({ image: { image: name } });
    assert.equal(found.image?.id, image.id, name);
    const listed = await client.ListImages({ filter: { image: { image: name } } });
    assert.deepEqual(
      listed.images.map(({ id }) => id),
      [image.id],
      name,
    );
  }
  await remove("forms:index");
  for (const name of [...names, image.id])
    assert.equal((await client.ImageStatus({ image: { image: name } })).image, null, name);
});

async function manifestSize(repository: string, digest: string): Promise<number> {
  const url = `http://${setting.registry.host}/v2/${repository}/manifests/${digest}`;
  return (await (await fetch(url, { headers: { accept: MANIFEST } })).arrayBuffer()).byteLength;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : 1;
}

test("one id for an image wherever it is told", async () => {
  const id = await pull(BUSYBOX);
  const pod = await work.pod("ids");
  const container = await work.run(pod, "ids");
  const { image } = await client.ImageStatus({ image: { image: BUSYBOX } });
  const { containers } = await client.ListContainers({ filter: { id: container } });
  const { status } = await client.ContainerStatus({ container_id: container });
  assert.deepEqual([image?.id, containers[0]?.image_id, status?.image_id], [id, id, id]);
  assert.equal(status?.image_ref, image?.repo_digests[0]);
  assert.equal(containers[0]?.image_ref, image?.repo_digests[0]);
  assert.equal(status?.image?.image, BUSYBOX);
  await work.remove(pod);
});

test("a tag that moves leaves the old image, by its digest", async () => {
  const before = await push("moving:1", [layer("old")]);
  const old = await pull("moody.test/moving:1");
  await push("moving:1", [layer("new")]);
  const fresh = await pull("moody.test/moving:1");
  assert.notEqual(fresh, old);
  const { image } = await client.ImageStatus({ image: { image: old } });
  assert.deepEqual([image?.repo_tags, image?.repo_digests], [[], [`moody.test/moving@${before}`]]);
  assert.equal((await client.ImageStatus({ image: { image: "moody.test/moving:1" } })).image?.id, fresh);
  await remove(fresh);
  assert.equal((await client.ImageStatus({ image: { image: old } })).image?.id, old, "it is another image");
  await remove(`moody.test/moving@${before}`);
});

test("a pull that one client gives up goes on for the other", async () => {
  const layers = [layer("shared one"), layer("shared two")];
  await push("shared:1", layers);
  const gate = Promise.withResolvers<void>();
  moody.mood = (path) => (path.includes(layers[1]?.digest ?? "") ? { waitFor: gate.promise } : undefined);
  const leaving = new AbortController();
  const left = client.PullImage({ image: { image: "moody.test/shared:1" } }, { signal: leaving.signal });
  const stays = pull("moody.test/shared:1");
  while (moody.count(layers[1]?.digest ?? "") === 0) await sleep(10);
  leaving.abort();
  await assert.rejects(left, { code: code.CANCELLED });
  gate.resolve();
  assert.match(await stays, /^sha256:/);
  assert.equal(moody.count(layers[1]?.digest ?? ""), 1, "downloaded once");
  await remove("moody.test/shared:1");
});

test("a pull that its client gives up is no image, and goes from the disk", async () => {
  const layers = [layer("given up one"), layer("given up two")];
  await push("given-up:1", layers);
  for (const part of ["/manifests/", layers[0]?.digest ?? ""]) {
    moody.mood = (path) => (path.includes(part) ? { silentAfter: 10 } : undefined);
    const before = moody.count(part);
    const leaving = new AbortController();
    const pulling = client.PullImage(
      { image: { image: "moody.test/given-up:1" } },
      { signal: leaving.signal },
    );
    const given = assert.rejects(pulling, { code: code.CANCELLED });
    while (moody.count(part) === before) await sleep(10);
    leaving.abort();
    await given;
    assert.equal((await client.ImageStatus({ image: { image: "moody.test/given-up:1" } })).image, null);
  }
  // Any removal collects what is nobody's.
  await remove("moody.test/given-up:1");
  await assertHoldings(setting.daemon, idle);
  moody.mood = () => undefined;
});

test("a download that hangs or is cut off goes on; a registry that sends nothing any more fails the pull", async () => {
  const large = layer("large");
  await push("large:1", [large]);
  const ranges = (): (string | undefined)[] =>
    moody.requests.filter(({ path }) => path.includes(large.digest)).map(({ range }) => range);
  moody.mood = (path, before) => {
    if (!path.includes(large.digest)) return undefined;
    return [{ silentAfter: 20_000 }, { cutAfter: 10_000 }, undefined][before];
  };
  await pull("moody.test/large:1");
  assert.deepEqual(ranges(), [undefined, "bytes=20000-", "bytes=30000-"]);
  await remove("moody.test/large:1");

  moody.mood = (path) => (path.includes(large.digest) ? { silentAfter: 0 } : undefined);
  await assert.rejects(pull("moody.test/large:1"), {
    code: code.UNAVAILABLE,
    details: /image moody\.test\/large:1: the registry has sent nothing for 10 s/,
  });
  moody.mood = () => undefined;
});

test("pulls and removals of one image at once, by every name", async () => {
  const digest = await push("busy:1", [layer("busy one"), layer("busy two")]);
  await push("busy:2", [layer("busy one"), layer("busy three")]);
  const names = ["moody.test/busy:1", "moody.test/busy:2", `moody.test/busy@${digest}`];
  for (let round = 0; round < 8; round++) {
    const calls = names.flatMap((name) => [pull(name), remove(name), pull(name), pull(name), remove(name)]);
    await Promise.all([...calls, client.ListImages({}), client.ImageFsInfo({})]);
    for (const { id } of (await client.ListImages({})).images)
      assert.equal((await client.ImageStatus({ image: { image: id } })).image?.id, id);
  }
  await Promise.all([...names, ...names].map(remove));
  await assertHoldings(setting.daemon, idle);
});

test("an image removed under its containers is gone at once, and its disk when they are", async () => {
  const tag = "registry.k8s.io/used:1";
  await pushImage(setting.registry.host, "used:1", await busyboxLayers(), { Cmd: ["sleep", "1000"] });
  const pod = await work.pod("used");
  const id = await pull(tag);
  const image = { image: { image: tag } };
  const before = await usedBytes();
  const running = await work.run(pod, "running", undefined, image);
  const created = await work.create(pod, "created", ["sh", "-c", "cat /marker; exit 3"], image);
  await remove(tag);
  assert.equal((await client.ImageStatus({ image: { image: id } })).image, null);
  assert.ok((await usedBytes()) < before, "it no longer counts");
  assert.equal(await work.read(running, "cat /marker"), "used");
  await client.StartContainer({ container_id: created });
  assert.equal((await work.exited(created)).exitCode, 3);
  const { status } = await client.ContainerStatus({ container_id: running });
  assert.deepEqual([status?.image_id, status?.image?.image], [id, tag]);
  await assert.rejects(work.create(pod, "third", ["sh"], image), { code: code.NOT_FOUND });
  // The same image again, while the old containers still use it.
  assert.equal(await pull(tag), id);
  await work.remove(pod);
  assert.equal((await client.ImageStatus({ image: { image: tag } })).image?.id, id);
  await remove(id);
  await assertHoldings(setting.daemon, idle);
});

async function busyboxLayers(): Promise<Layer[]> {
  const { busyboxEntries } = await import("./harness/fixture-images.ts");
  return [layerOf(await busyboxEntries()), layerOf([file("marker", "used")])];
}

async function usedBytes(): Promise<number> {
  const { image_filesystems } = await client.ImageFsInfo({});
  return Number(image_filesystems[0]?.used_bytes?.value);
}

test("what is no image is refused, and told why", async () => {
  const body = (document: object): Buffer => Buffer.from(JSON.stringify(document));
  const schema1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
  moody.mood = () => undefined;
  await assert.rejects(pull("Upper/Case"), { code: code.INVALID_ARGUMENT, details: /must be lower case/ });
  await assert.rejects(pull(`${setting.registry.host}/absent:1`), { code: code.NOT_FOUND });
  await assert.rejects(pull(`sha256:${"0".repeat(64)}`), {
    code: code.INVALID_ARGUMENT,
    details: /image id/,
  });
  await push("old:1", [layer("old schema")]);
  moody.mood = (path) =>
    path.includes("/old/manifests/")
      ? { instead: { type: schema1, body: body({ schemaVersion: 1, name: "old", tag: "1", fsLayers: [] }) } }
      : undefined;
  await assert.rejects(pull("moody.test/old:1"), { details: /schema 1 is not supported/ });
  moody.mood = () => undefined;
});
