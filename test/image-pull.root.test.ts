/**
 * Pulling from a real registry, of images pushed by skopeo, through the real unpacker into the overlayfs
 * snapshotter.
 */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test, type TestContext } from "node:test";
import { digestHex, type Digest } from "../src/base/digest.ts";
import { errorKind } from "../src/base/errors.ts";
import { silentLogger } from "../src/base/logger.ts";
import { createOverlayfsSnapshotter } from "../src/snapshotter/overlayfs.ts";
import type { Snapshotter } from "../src/snapshotter/snapshotter.ts";
import { openRecordStore } from "../src/store/record-store.ts";
import type { ImageService } from "../src/image/image.ts";
import { createImageService } from "../src/image/image-service.ts";
import { createUnpacker } from "../src/image/unpack/unpacker.ts";
import { startRegistry, type Registry } from "./harness/registry.ts";
import { packDirectory, pushBySkopeo, type LayerSource } from "./harness/skopeo-push.ts";

const REGISTRY_USER = { username: "user", password: "s3cret" };
const HTPASSWD = "user:$2y$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n";

const signal = new AbortController().signal;
const registries = mkdtempSync(join(tmpdir(), "gantry-registries-"));
let open: Registry;
let closed: Registry;
const layers: LayerSource[] = [];

before(async () => {
  open = await startRegistry(join(registries, "open"));
  closed = await startRegistry(join(registries, "closed"), HTPASSWD);
  const directory = mkdtempSync(join(tmpdir(), "gantry-pull-"));
  for (const [index, compression] of (["gzip", "zstd", "none"] as const).entries()) {
    const root = join(directory, compression);
    mkdirSync(join(root, "etc"), { recursive: true });
    for (let i = 0; i < 50; i += 1) {
      writeFileSync(join(root, "etc", `file-${index}-${i}`), `content ${index} ${i} `.repeat(1000));
    }
    writeFileSync(join(root, "etc/which"), compression);
    layers.push({ compression, tar: await packDirectory(root) });
  }
  rmSync(directory, { recursive: true });
});

after(async () => {
  await open?.stop();
  await closed?.stop();
  rmSync(registries, { recursive: true });
});

interface Setup {
  images: ImageService;
  snapshotter: Snapshotter;
  directory: string;
}

function setUp(t: TestContext): Setup {
  const directory = mkdtempSync(join(tmpdir(), "gantry-images-"));
  const store = openRecordStore(join(directory, "images.db"), "power-loss");
  const snapshotter = createOverlayfsSnapshotter({
    directory: join(directory, "snapshots"),
    store,
    log: silentLogger,
  });
  const unpacker = createUnpacker({ workers: 2 });
  const images = createImageService({
    directory: join(directory, "images"),
    store,
    snapshotter,
    unpacker,
    log: silentLogger,
    hostsDirectories: [join(directory, "certs.d")],
    retryDelayMs: 1,
  });
  t.after(async () => {
    await images.close();
    await unpacker.close();
    await snapshotter.settled();
    store.close();
    rmSync(directory, { recursive: true, force: true });
  });
  return { images, snapshotter, directory };
}

test("an image with gzip, zstd and plain layers, twice at once", async (t) => {
  const { images, snapshotter } = setUp(t);
  const id = await pushBySkopeo(`${open.host}/mixed:1`, layers);
  const pull = async (): Promise<string> =>
    (await images.pull({ reference: `${open.host}/mixed:1` }, signal)).id;
  assert.deepEqual(await Promise.all([pull(), pull()]), [id, id]);
  assert.equal(await pull(), id);
  const record = images.get(`${open.host}/mixed:1`);
  const chainId = record?.chainId as Digest;
  const read = async (path: string): Promise<string | undefined> =>
    (await snapshotter.readFile(chainId, path, 1e6))?.toString("utf8");
  assert.equal(await read("/etc/which"), "none", "the topmost layer wins");
  for (const index of [0, 1, 2])
    assert.equal(await read(`/etc/file-${index}-49`), `content ${index} 49 `.repeat(1000));
  const { usage } = await images.usage();
  assert.ok(usage.inodes > 150 && usage.bytes > 150 * 11_000, JSON.stringify(usage));
});

test("what is removed is collected from the disk", async (t) => {
  const { images, snapshotter, directory } = setUp(t);
  await pushBySkopeo(`${open.host}/kept:1`, layers.slice(0, 2));
  await pushBySkopeo(`${open.host}/gone:1`, layers);
  const kept = await images.pull({ reference: `${open.host}/kept:1` }, signal);
  await images.pull({ reference: `${open.host}/gone:1` }, signal);
  await images.remove(`${open.host}/gone:1`, signal);
  await images.collect();
  assert.deepEqual(new Set(snapshotter.layers().map(({ diffId }) => diffId)), new Set(kept.diffIds));
  assert.deepEqual(
    readdirSync(join(directory, "snapshots/layers")).toSorted(),
    kept.diffIds.map(digestHex).toSorted(),
  );
  await images.remove(kept.id, signal);
  await images.collect();
  assert.deepEqual([snapshotter.layers(), snapshotter.list()], [[], []]);
  assert.deepEqual(readdirSync(join(directory, "images/blobs/sha256")), []);
});

test("a corrupted layer is refused and leaves nothing", async (t) => {
  const { images, snapshotter, directory } = setUp(t);
  await pushBySkopeo(`${open.host}/broken:1`, [
    layers[0] as LayerSource,
    { compression: "gzip", tar: Buffer.from("no tar archive".repeat(100)) },
  ]);
  await assert.rejects(images.pull({ reference: `${open.host}/broken:1` }, signal), (error: unknown) => {
    assert.match(String(error), new RegExp(`image ${open.host}/broken:1: layer sha256:`));
    return ["invalid-argument", "data-loss"].includes(errorKind(error));
  });
  assert.deepEqual(images.list(), []);
  await images.collect();
  await snapshotter.collect();
  assert.deepEqual(readdirSync(join(directory, "snapshots/layers")), []);
});

test("a mirror for docker.io through certs.d", async (t) => {
  const { images, directory } = setUp(t);
  const hosts = join(directory, "certs.d/docker.io");
  mkdirSync(hosts, { recursive: true });
  writeFileSync(
    join(hosts, "hosts.toml"),
    `server = "https://registry-1.docker.io"\n[host."http://${open.host}"]\n`,
  );
  const id = await pushBySkopeo(`${open.host}/library/tiny:latest`, layers.slice(0, 1));
  const record = await images.pull({ reference: "tiny" }, signal);
  assert.equal(record.id, id);
  assert.deepEqual(record.repoTags, ["docker.io/library/tiny:latest"]);
  assert.equal(statSync(join(directory, "images/blobs/sha256", digestHex(record.id))).mode & 0o777, 0o600);
});

test("basic authentication", async (t) => {
  const { images } = setUp(t);
  const reference = `${closed.host}/private:1`;
  const { username, password } = REGISTRY_USER;
  const id = await pushBySkopeo(reference, layers.slice(0, 1), `${username}:${password}`);
  for (const auth of [undefined, { ...REGISTRY_USER, password: "wrong" }]) {
    await assert.rejects(images.pull({ reference, ...(auth ? { auth } : {}) }, signal), (error: unknown) => {
      return errorKind(error) === "unauthenticated" && !String(error).includes("wrong");
    });
  }
  assert.equal((await images.pull({ reference, auth: REGISTRY_USER }, signal)).id, id);
  await assert.rejects(
    images.pull({ reference }, signal),
    { kind: "unauthenticated" },
    "present, but still refused",
  );
});

test("unknown tags and repositories are not found", async (t) => {
  const { images } = setUp(t);
  await pushBySkopeo(`${open.host}/known:1`, layers.slice(0, 1));
  for (const reference of [
    `${open.host}/known:2`,
    `${open.host}/unknown:1`,
    `${open.host}/known@sha256:${"0".repeat(64)}`,
  ]) {
    await assert.rejects(images.pull({ reference }, signal), { kind: "not-found" }, reference);
  }
});
