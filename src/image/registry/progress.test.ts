/** Pulls whose registry goes quiet: what is tried again, what fails, and what does not count as quiet. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { addImage } from "../fake-image.ts";
import { sendBlob } from "./fake-registry.ts";
import { ProgressWatch } from "./progress.ts";
import { pull, rejects, setUp, signal, startRegistry } from "./registry-test-setup.ts";

/** Not compressible, and more than a socket takes at once. */
const LARGE = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7919) % 251));

test("a download that hangs goes on where it stopped", async (t) => {
  const { service, registry } = await setUp(t, { idleTimeoutMs: 1000 });
  const image = addImage(registry, "app", "1", [LARGE]);
  const digest = image.blobDigests[0] as string;
  const ranges: (string | undefined)[] = [];
  registry.intercept = (request, response) => {
    if (!request.url.includes(digest)) return false;
    ranges.push(request.headers.range);
    const blob = registry.blobs.get(digest) as Buffer;
    if (ranges.length > 1) sendBlob(blob, request, response);
    else response.writeHead(200, { "content-length": blob.length }).write(blob.subarray(0, 100));
    return true;
  };
  assert.equal((await pull(service, `${registry.host}/app:1`)).id, image.id);
  assert.deepEqual(ranges, [undefined, "bytes=100-"]);
});

test("a pull that receives nothing fails, however often it asks, and leaves nothing", async (t) => {
  const options = { progressTimeoutMs: 2500, idleTimeoutMs: 1000, attempts: 100 };
  const { service, registry } = await setUp(t, options);
  const image = addImage(registry, "app", "1", ["quick", LARGE]);
  registry.intercept = (request) => request.url.includes(image.blobDigests[1] as string);
  const reference = `${registry.host}/app:1`;
  await rejects(
    pull(service, reference),
    "unavailable",
    /image .*\/app:1: the registry has sent nothing for/,
  );
  assert.ok(registry.matching(image.blobDigests[1] as string).length > 1, "it was asked again");
  while (service.snapshotter.begun.size > 0) await sleep(5);
  assert.deepEqual(service.images.list(), []);

  // What was finished stays for the next pull.
  registry.intercept = () => false;
  registry.requests.length = 0;
  await pull(service, reference);
  assert.equal(registry.matching(image.blobDigests[0] as string).length, 0);
});

test("a manifest that never comes fails the pull, too", async (t) => {
  const { service, registry } = await setUp(t, { progressTimeoutMs: 1000, idleTimeoutMs: 60_000 });
  registry.intercept = () => true;
  await rejects(pull(service, `${registry.host}/app:1`), "unavailable", /has sent nothing for 1 s/);
});

test("where another host is, one that hangs is left, and asked again if that is dead", async (t) => {
  const { service, registry } = await setUp(t, { idleTimeoutMs: 1000 });
  const mirror = await startRegistry(t);
  const directory = join(service.directory, "certs.d", "registry.example");
  mkdirSync(directory, { recursive: true });
  writeFileSync(
    join(directory, "hosts.toml"),
    `server = "http://${registry.host}"\n[host."http://${mirror.host}"]\n`,
  );
  const image = addImage(registry, "app", "1", ["layer"]);
  addImage(mirror, "app", "1", ["layer"]);
  mirror.intercept = (request) => request.url.includes(image.blobDigests[0] as string);
  assert.equal((await pull(service, "registry.example/app:1")).id, image.id);
  assert.equal(mirror.matching(image.blobDigests[0] as string).length, 1);

  const dead = registry.host;
  await registry.stop();
  await service.images.remove(image.id, signal);
  await service.images.collect();
  writeFileSync(join(directory, "hosts.toml"), `server = "http://${dead}"\n[host."http://${mirror.host}"]\n`);
  mirror.requests.length = 0;
  mirror.intercept = (request) =>
    request.url.includes(image.blobDigests[0] as string) &&
    mirror.matching(image.blobDigests[0] as string).length === 1;
  assert.equal((await pull(service, "registry.example/app:1")).id, image.id);
  assert.equal(mirror.matching(image.blobDigests[0] as string).length, 2);
});

test("time in which the disk is slow is not the registry's", async (t) => {
  const { service, registry } = await setUp(t, { progressTimeoutMs: 1000, idleTimeoutMs: 60_000 });
  const image = addImage(registry, "app", "1", ["layer"]);
  service.unpacker.gate = sleep(2500);
  assert.equal((await pull(service, `${registry.host}/app:1`)).id, image.id);
});

test("a stream is watched only while its reader waits, and ends with it", async () => {
  using watch = new ProgressWatch(200);
  let ended = false;
  async function* source(): AsyncGenerator<number, void, void> {
    try {
      yield 1;
      yield 2;
    } finally {
      ended = true;
    }
  }
  for await (const value of watch.during(source())) {
    await sleep(500);
    assert.equal(watch.signal.aborted, false, "the reader is busy");
    if (value === 1) break;
  }
  assert.ok(ended);
  await sleep(500);
  assert.equal(watch.signal.aborted, false, "nobody waits");
  await assert.rejects(
    watch.untilAnswer(
      new Promise((_, reject) => {
        watch.signal.addEventListener("abort", () => reject(watch.signal.reason as Error));
      }),
    ),
    { kind: "unavailable" },
  );
});
