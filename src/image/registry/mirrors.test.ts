/** The registry client: hosts asked in turn. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { addImage } from "../fake-image.ts";
import { refuse } from "./fake-registry.ts";
import { AUTH, BASIC, pull, setUp, startRegistry } from "./registry-test-setup.ts";

test("mirrors are asked in turn with ns, then the server; the mirror gets no credentials", async (t) => {
  const { service, registry } = await setUp(t);
  const mirror = await startRegistry(t);
  const dead = await startRegistry(t);
  const deadHost = dead.host;
  await dead.stop();
  const directory = join(service.directory, "certs.d", "registry.example");
  mkdirSync(directory, { recursive: true });
  writeFileSync(
    join(directory, "hosts.toml"),
    `server = "http://${registry.host}"\n[host."http://${deadHost}"]\n[host."http://${mirror.host}"]\ncapabilities = ["pull"]\n`,
  );
  const image = addImage(registry, "team/app", "1", ["one", "two"]);
  for (const [digest, blob] of registry.blobs)
    if (digest !== image.blobDigests[1]) mirror.blobs.set(digest, blob);
  registry.intercept = (request, response) => {
    if (request.headers.authorization === BASIC) return false;
    refuse(response, 401, "UNAUTHORIZED", { "www-authenticate": "Basic realm=r" });
    return true;
  };
  mirror.intercept = (request, response) => {
    if (!request.url.includes(image.blobDigests[1] as string)) return false;
    refuse(response, 401, "UNAUTHORIZED", { "www-authenticate": "Basic realm=r" });
    return true;
  };
  const record = await pull(service, "registry.example/team/app:1", AUTH);
  assert.deepEqual(record.repoTags, ["registry.example/team/app:1"]);
  assert.equal(mirror.matching("/manifests/").length, 0, "a host without resolve is not asked for a tag");
  assert.ok(mirror.requests.length >= 3);
  for (const { headers, url } of mirror.requests) {
    assert.equal(headers.authorization, undefined);
    assert.match(url, /\?ns=registry\.example$/);
  }
  assert.equal(
    registry.matching(image.blobDigests[1] as string).length > 0,
    true,
    "what the mirror lacks comes from the server",
  );
});

test("a mirror that serves wrong bytes is passed over", async (t) => {
  const { service, registry } = await setUp(t);
  const mirror = await startRegistry(t);
  const directory = join(service.directory, "certs.d", "registry.example");
  mkdirSync(directory, { recursive: true });
  writeFileSync(
    join(directory, "hosts.toml"),
    `server = "http://${registry.host}"\n[host."http://${mirror.host}"]\n`,
  );
  const image = addImage(registry, "app", "1", ["one"]);
  addImage(mirror, "app", "1", ["one"]);
  const original = mirror.blobs.get(image.blobDigests[0] as string) as Buffer;
  mirror.blobs.set(image.blobDigests[0] as string, Buffer.alloc(original.length, 1));
  const record = await pull(service, "registry.example/app:1");
  assert.equal(record.id, image.id);
});
