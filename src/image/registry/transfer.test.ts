/** The registry client: retries, resumed downloads, limits, and bytes that are not what they should be. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { addImage } from "../fake-image.ts";
import { refuse, sha256 } from "./fake-registry.ts";
import { pull, rejects, setUp } from "./registry-test-setup.ts";

test("server errors and rate limits are retried, refusals are not", async (t) => {
  const { service, registry } = await setUp(t);
  addImage(registry, "app", "1", ["a"]);
  const statuses = [503, 429, 200];
  registry.intercept = (_request, response) => {
    const status = statuses.shift() ?? 200;
    if (status === 200) return false;
    refuse(response, status, "TRY_AGAIN", { "retry-after": "0" });
    return true;
  };
  await pull(service, `${registry.host}/app:1`);

  for (const [status, kind, count] of [
    [500, "unavailable", 3],
    [429, "resource-exhausted", 3],
    [403, "permission-denied", 1],
    [404, "not-found", 1],
    [400, "unavailable", 1],
  ] as const) {
    registry.requests.length = 0;
    registry.intercept = (_request, response) => {
      refuse(response, status, "NO");
      return true;
    };
    await rejects(
      pull(service, `${registry.host}/other:1`),
      kind,
      new RegExp(`image ${registry.host}/other:1: .*answered ${status} \\(NO: no\\)`),
    );
    assert.equal(registry.requests.length, count, `requests for ${status}`);
  }
});

test("a host that asks to wait for an hour is not waited for", async (t) => {
  const { service, registry } = await setUp(t);
  registry.intercept = (_request, response) => {
    refuse(response, 429, "TOOMANYREQUESTS", { "retry-after": "3600" });
    return true;
  };
  await rejects(pull(service, `${registry.host}/app:1`), "resource-exhausted", /429/);
  assert.equal(registry.requests.length, 1);
});

for (const ranges of [true, false]) {
  test(`a cut download goes on where it stopped, ${ranges ? "by range" : "where ranges are not supported"}`, async (t) => {
    const { service, registry } = await setUp(t);
    const layer = Buffer.alloc(3_000_000);
    for (let i = 0; i < layer.length; i += 4) layer.writeUInt32LE((i * 2654435761) >>> 0, i);
    const image = addImage(registry, "app", "1", [layer]);
    const blob = registry.blobs.get(image.blobDigests[0] as string) as Buffer;
    let cuts = 0;
    registry.intercept = (request, response) => {
      if (!request.url.includes(image.blobDigests[0] as string)) return false;
      const from = ranges ? Number(/[0-9]+/.exec(request.headers.range ?? "")?.[0] ?? 0) : 0;
      const headers = {
        "content-length": blob.length - from,
        "content-range": `bytes ${from}-${blob.length - 1}/${blob.length}`,
      };
      response.writeHead(from > 0 ? 206 : 200, headers);
      if (cuts >= 4) response.end(blob.subarray(from));
      else {
        cuts += 1;
        response.write(blob.subarray(from, from + 200_000 * cuts), () =>
          setTimeout(() => response.destroy(), 50),
        );
      }
      return true;
    };
    const record = await pull(service, `${registry.host}/app:1`);
    assert.equal(record.diffIds[0], sha256(layer));
    const requested = registry.matching(image.blobDigests[0] as string).map(({ headers }) => headers.range);
    assert.equal(requested.length, 5, "more than the attempts, as each made progress");
    assert.equal(requested[0], undefined);
    assert.ok(
      requested.slice(1).every((range) => /^bytes=[1-9][0-9]*-$/.test(range ?? "")),
      String(requested),
    );
  });
}

test("a host that answers with another range than asked for is not believed", async (t) => {
  const { service, registry } = await setUp(t);
  const image = addImage(registry, "app", "1", [
    Buffer.from(Array.from({ length: 400_000 }, (_, i) => (i * i) & 255)),
  ]);
  const blob = registry.blobs.get(image.blobDigests[0] as string) as Buffer;
  let first = true;
  registry.intercept = (request, response) => {
    if (!request.url.includes(image.blobDigests[0] as string)) return false;
    if (first) {
      response.writeHead(200, { "content-length": blob.length });
      response.write(blob.subarray(0, 100), () => setTimeout(() => response.destroy(), 50));
      first = false;
    } else {
      response.writeHead(206, { "content-range": `bytes 0-${blob.length - 1}/${blob.length}` });
      response.end(blob);
    }
    return true;
  };
  await rejects(pull(service, `${registry.host}/app:1`), "unavailable", /another range/);
});

test("a layer that ends early or goes on too long is data loss", async (t) => {
  const { service, registry } = await setUp(t);
  const image = addImage(registry, "app", "1", ["content of a layer"]);
  const digest = image.blobDigests[0] as string;
  const whole = registry.blobs.get(digest) as Buffer;
  registry.intercept = (request, response) => {
    if (!request.url.includes(digest)) return false;
    response.end(request.headers.range === undefined ? whole.subarray(0, 10) : "");
    return true;
  };
  await rejects(pull(service, `${registry.host}/app:1`), "data-loss", /ends after 10 of [0-9]+ bytes/);
  registry.intercept = (request, response) => {
    if (!request.url.includes(digest)) return false;
    response.end(Buffer.concat([whole, Buffer.from("more")]));
    return true;
  };
  await rejects(pull(service, `${registry.host}/app:1`), "data-loss", /longer than/);
  assert.equal(service.snapshotter.begun.size, 0);
  assert.equal(service.images.list().length, 0);
});

test("a host that stops sending is given up", async (t) => {
  const { service, registry } = await setUp(t, { idleTimeoutMs: 1000, attempts: 1 });
  addImage(registry, "app", "1", ["x"]);
  registry.intercept = (request) => request.url.includes("/blobs/");
  await rejects(pull(service, `${registry.host}/app:1`), "unavailable", /[Tt]imeout/);
});

test("unreachable hosts are unavailable", async (t) => {
  const { service, registry } = await setUp(t);
  const { host } = registry;
  await registry.stop();
  await rejects(
    pull(service, `${host}/app:1`),
    "unavailable",
    new RegExp(`registry ${host}: .*ECONNREFUSED`),
  );
  await rejects(pull(service, "registry.invalid/app:1"), "unavailable", /registry registry\.invalid: /);
});

test("an unknown image says so, with host and reference", async (t) => {
  const { service, registry } = await setUp(t);
  await rejects(
    pull(service, `${registry.host}/none:1`),
    "not-found",
    new RegExp(
      `image ${registry.host}/none:1: not found: registry ${registry.host} answered 404 \\(MANIFEST_UNKNOWN`,
    ),
  );
});

test("a manifest, a configuration or a layer with a wrong digest is data loss and leaves nothing", async (t) => {
  const { service, registry } = await setUp(t);
  const image = addImage(registry, "app", "1", ["layer"]);
  const reference = `${registry.host}/app`;
  const wrong = gzipSync("other");

  registry.manifests.set(`app@${image.manifestDigest}`, {
    bytes: Buffer.from("{}"),
    mediaType: "application/vnd.oci.image.manifest.v1+json",
  });
  await rejects(pull(service, `${reference}@${image.manifestDigest}`), "data-loss", /manifest has digest/);

  const config = registry.blobs.get(image.id) as Buffer;
  registry.blobs.set(image.id, Buffer.alloc(config.length, 32));
  await rejects(pull(service, `${reference}:1`), "data-loss", /does not match its digest/);
  registry.blobs.set(image.id, config);

  const layer = registry.blobs.get(image.blobDigests[0] as string) as Buffer;
  registry.blobs.set(image.blobDigests[0] as string, Buffer.concat([wrong, layer]).subarray(0, layer.length));
  await rejects(
    pull(service, `${reference}:1`),
    "data-loss",
    new RegExp(`layer ${image.blobDigests[0]}: .*digest`),
  );

  const lying = addImage(registry, "app", "2", ["layer"], {
    config: { rootfs: { type: "layers", diff_ids: [sha256(wrong)] } },
  });
  registry.blobs.set(image.blobDigests[0] as string, layer);
  await rejects(pull(service, `${reference}:2`), "data-loss", /diffID/);
  assert.ok(lying);
  assert.deepEqual(service.images.list(), []);
  assert.deepEqual(service.snapshotter.layers(), []);
  assert.equal(service.snapshotter.begun.size, 0);
});

test("documents over the size limit are refused without being read whole", async (t) => {
  const { service, registry } = await setUp(t);
  let sent = 0;
  registry.intercept = (_request, response) => {
    response.writeHead(200, { "content-type": "application/vnd.oci.image.manifest.v1+json" });
    const chunk = Buffer.alloc(1024 * 1024, 32);
    const more = (): void => {
      sent += 1;
      if (sent < 1000) response.write(chunk, more);
    };
    more();
    return true;
  };
  await rejects(pull(service, `${registry.host}/app:1`), "resource-exhausted", /larger than 8388608 bytes/);
  assert.ok(sent < 100, `${sent} MiB were read`);
  registry.intercept = () => false;
  addImage(registry, "app", "2", [], {
    change: (manifest) => {
      (manifest["config"] as Record<string, unknown>)["size"] = 1e9;
    },
  });
  await rejects(pull(service, `${registry.host}/app:2`), "resource-exhausted", /larger than/);
});
