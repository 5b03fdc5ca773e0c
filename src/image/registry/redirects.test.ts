/** The registry client: what a redirect carries to another host, and where it ends. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { addImage } from "../fake-image.ts";
import { refuse, sendBlob } from "./fake-registry.ts";
import { AUTH, BASIC, pull, rejects, setUp, startRegistry } from "./registry-test-setup.ts";

test("a redirect to another host carries neither credentials nor the host's own headers", async (t) => {
  const { service, registry } = await setUp(t);
  const storage = await startRegistry(t);
  const image = addImage(registry, "app", "1", ["layer"]);
  const directory = join(service.directory, "certs.d", registry.host);
  mkdirSync(directory, { recursive: true });
  writeFileSync(
    join(directory, "hosts.toml"),
    `server = "http://${registry.host}"\n[header]\nX-Private = "s3cret-header"\n`,
  );
  registry.intercept = (request, response) => {
    if (request.headers.authorization !== BASIC)
      refuse(response, 401, "UNAUTHORIZED", { "www-authenticate": 'Basic realm="r"' });
    else if (request.url.includes("/blobs/"))
      response.writeHead(307, { location: `http://${storage.host}${request.url}?signature=s3cret` }).end();
    else return false;
    return true;
  };
  storage.intercept = (request, response) => {
    // Back to the registry's host for one of them: what was dropped stays dropped.
    if (request.url.includes(image.id))
      response.writeHead(302, { location: `http://${registry.host}/open` }).end();
    else
      sendBlob(
        registry.blobs.get(/sha256:[0-9a-f]+/.exec(request.url)?.[0] ?? "") as Buffer,
        request,
        response,
      );
    return true;
  };
  const guarded = registry.intercept;
  registry.intercept = async (request, response) => {
    if (request.url !== "/open") return await guarded(request, response);
    sendBlob(registry.blobs.get(image.id) as Buffer, request, response);
    return true;
  };
  await pull(service, `${registry.host}/app:1`, AUTH);
  assert.ok(storage.requests.length >= 2);
  for (const { headers } of [...storage.requests, ...registry.matching("/open")]) {
    assert.equal(headers.authorization, undefined);
    assert.equal(headers["x-private"], undefined);
  }
  for (const { headers } of registry.matching("/v2/")) assert.equal(headers["x-private"], "s3cret-header");
});

test("a challenge of a redirect's target gets no credentials, and signed addresses stay out of errors", async (t) => {
  const { service, registry } = await setUp(t);
  const storage = await startRegistry(t);
  addImage(registry, "app", "1", ["layer"]);
  registry.intercept = (request, response) => {
    if (!request.url.includes("/blobs/")) return false;
    response.writeHead(307, { location: `http://${storage.host}/x?signature=s3cret` }).end();
    return true;
  };
  storage.intercept = (_request, response) => {
    refuse(response, 401, "INTERNAL_SECRET", {
      "www-authenticate": `Basic realm="x", Bearer realm="http://${storage.host}/t"`,
    });
    return true;
  };
  await rejects(
    pull(service, `${registry.host}/app:1`, AUTH),
    "unauthenticated",
    new RegExp(`registry ${storage.host} answered 401$`),
  );
  for (const { headers, url } of storage.requests) {
    assert.equal(headers.authorization, undefined);
    assert.ok(!url.startsWith("/t"));
  }
});

test("foreign layer urls are never fetched", async (t) => {
  const { service, registry } = await setUp(t);
  const elsewhere = await startRegistry(t);
  addImage(registry, "app", "1", ["layer"], {
    change: (manifest) => {
      const [layer] = manifest["layers"] as Record<string, unknown>[];
      Object.assign(layer as object, {
        mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        urls: [`http://${elsewhere.host}/layer`],
      });
    },
  });
  await pull(service, `${registry.host}/app:1`, AUTH);
  assert.equal(elsewhere.requests.length, 0);
});

test("redirect loops end", async (t) => {
  const { service, registry } = await setUp(t);
  registry.intercept = (request, response) => {
    response.writeHead(302, { location: request.url }).end();
    return true;
  };
  await rejects(pull(service, `${registry.host}/app:1`), "unavailable", /too many redirects/);
});
