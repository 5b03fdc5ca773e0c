/** Pulls at the same time: shared work, cancelling, failing, closing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { errorKind } from "../base/errors.ts";
import { addImage } from "./fake-image.ts";
import { pull, setUp, signal } from "./pull-test-setup.ts";
import { FakeRegistry } from "./registry/fake-registry.ts";

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
