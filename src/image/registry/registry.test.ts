/** The registry client against a registry on loopback: authentication, redirects, retries, resuming, mirrors. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { gzipSync } from "node:zlib";
import { errorKind, type ErrorKind } from "../../base/errors.ts";
import { addImage } from "../fake-image.ts";
import { openTestService, type TestService } from "../fake-service.ts";
import type { ImageRecord, RegistryAuth } from "../image.ts";
import type { ImageServiceOptions } from "../image-service.ts";
import { FakeRegistry, refuse, sendBlob, sha256, type Interceptor } from "./fake-registry.ts";

const signal = new AbortController().signal;
const AUTH: RegistryAuth = { username: "user", password: "s3cret" };
const BASIC = `Basic ${Buffer.from("user:s3cret").toString("base64")}`;

async function setUp(
  t: TestContext,
  options: Partial<ImageServiceOptions> = {},
): Promise<{ service: TestService; registry: FakeRegistry }> {
  const service = openTestService(options);
  t.after(async () => await service.close());
  return { service, registry: await startRegistry(t) };
}

async function startRegistry(t: TestContext): Promise<FakeRegistry> {
  const registry = await new FakeRegistry().start();
  t.after(async () => await registry.stop());
  return registry;
}

async function pull(service: TestService, reference: string, auth?: RegistryAuth): Promise<ImageRecord> {
  return await service.images.pull({ reference, ...(auth ? { auth } : {}) }, signal);
}

async function rejects(promise: Promise<unknown>, kind: ErrorKind, message: RegExp): Promise<void> {
  await assert.rejects(promise, (error: unknown) => {
    assert.equal(errorKind(error), kind, String(error));
    assert.match(String(error), message);
    assert.doesNotMatch(String(error), /s3cret|signature=|czNjcmV0/);
    return true;
  });
}

/** Demands a bearer token that only `realm` gives. */
function bearer(realm: string, token: () => string, inner?: Interceptor): Interceptor {
  return async (request, response) => {
    if (!request.url.startsWith("/v2/")) return (await inner?.(request, response)) ?? false;
    if (request.headers.authorization === `Bearer ${token()}`) return false;
    refuse(response, 401, "UNAUTHORIZED", {
      "www-authenticate": `Bearer realm="${realm}",service="svc",scope="repository:app:pull"`,
    });
    return true;
  };
}

test("anonymous tokens are fetched once and used for everything", async (t) => {
  const { service, registry } = await setUp(t);
  addImage(registry, "app", "1", ["a", "b", "c"]);
  const realm = `http://${registry.host}/token`;
  registry.intercept = bearer(
    realm,
    () => "anon",
    (_request, response) => {
      response.end(JSON.stringify({ token: "anon", expires_in: 300 }));
      return true;
    },
  );
  await pull(service, `${registry.host}/app:1`);
  const tokens = registry.matching("/token");
  assert.equal(tokens.length, 1);
  assert.equal(tokens[0]?.url, "/token?service=svc&scope=repository%3Aapp%3Apull");
  assert.equal(tokens[0]?.headers.authorization, undefined);
  assert.equal(
    registry.requests.filter(({ headers }) => headers.authorization === undefined).length,
    2,
    "one challenge, one token request",
  );
  await pull(service, `${registry.host}/app:1`);
  assert.equal(registry.matching("/token").length, 1, "cached between pulls");
});

test("user name and password go to the realm, the token to the registry", async (t) => {
  const { service, registry } = await setUp(t);
  const realmHost = await startRegistry(t);
  addImage(registry, "app", "1", ["a"]);
  realmHost.intercept = (request, response) => {
    if (request.headers.authorization !== BASIC) refuse(response, 401, "UNAUTHORIZED");
    else response.end(JSON.stringify({ access_token: "tok" }));
    return true;
  };
  registry.intercept = bearer(`http://${realmHost.host}/t`, () => "tok");
  await rejects(pull(service, `${registry.host}/app:1`), "unauthenticated", /token realm/);
  await rejects(
    pull(service, `${registry.host}/app:1`, { username: "user", password: "wrong" }),
    "unauthenticated",
    /401/,
  );
  await pull(service, `${registry.host}/app:1`, AUTH);
  await pull(service, `${registry.host}/app:1`, { auth: Buffer.from("user:s3cret").toString("base64") });
  for (const { headers } of registry.requests)
    assert.notEqual(headers.authorization, BASIC, "the registry never sees the password");
  await rejects(pull(service, `${registry.host}/app:1`), "unauthenticated", /401/);
});

test("an identity token is exchanged by POST, a registry token is sent as it is", async (t) => {
  const { service, registry } = await setUp(t);
  addImage(registry, "app", "1", ["a"]);
  registry.intercept = bearer(
    `http://${registry.host}/token`,
    () => "tok",
    (request, response) => {
      const form = new URLSearchParams(request.body);
      const good =
        request.method === "POST" &&
        form.get("refresh_token") === "idtok" &&
        form.get("grant_type") === "refresh_token";
      response.writeHead(good ? 200 : 400).end(JSON.stringify({ access_token: "tok" }));
      return true;
    },
  );
  await pull(service, `${registry.host}/app:1`, { identityToken: "idtok" });
  await rejects(pull(service, `${registry.host}/app:1`, { identityToken: "bad" }), "unauthenticated", /400/);
  const before = registry.matching("/token").length;
  await pull(service, `${registry.host}/app:1`, { registryToken: "tok" });
  await rejects(
    pull(service, `${registry.host}/app:1`, { registryToken: "other" }),
    "unauthenticated",
    /401/,
  );
  assert.equal(registry.matching("/token").length, before);
});

test("an expired token is replaced", async (t) => {
  const { service, registry } = await setUp(t);
  addImage(registry, "app", "1", ["a"]);
  let current = "t1";
  registry.intercept = bearer(
    `http://${registry.host}/token`,
    () => current,
    (_request, response) => {
      response.end(JSON.stringify({ token: current }));
      return true;
    },
  );
  await pull(service, `${registry.host}/app:1`);
  current = "t2";
  addImage(registry, "app", "1", ["b"]);
  await pull(service, `${registry.host}/app:1`);
  assert.equal(registry.matching("/token").length, 2);
});

test("basic authentication", async (t) => {
  const { service, registry } = await setUp(t);
  addImage(registry, "app", "1", ["a"]);
  registry.intercept = (request, response) => {
    if (request.headers.authorization === BASIC) return false;
    refuse(response, 401, "UNAUTHORIZED", { "www-authenticate": 'Basic realm="r"' });
    return true;
  };
  await rejects(
    pull(service, `${registry.host}/app:1`),
    "unauthenticated",
    /answered 401 \(UNAUTHORIZED: unauthorized\)/,
  );
  await rejects(
    pull(service, `${registry.host}/app:1`, { ...AUTH, password: "x" }),
    "unauthenticated",
    /401/,
  );
  await rejects(
    pull(service, `${registry.host}/app:1`, { ...AUTH, serverAddress: "https://elsewhere.example" }),
    "unauthenticated",
    /401/,
  );
  await pull(service, `${registry.host}/app:1`, { ...AUTH, serverAddress: `http://${registry.host}/v2/` });
});

test("an https registry cannot make credentials go to a plain-http realm", async (t) => {
  const { TokenSource } = await import("./token.ts");
  const { Transport } = await import("./transport.ts");
  const realm = await startRegistry(t);
  const transport = new Transport({ connectTimeoutMs: 1000, idleTimeoutMs: 1000, connectionsPerHost: 2 });
  t.after(async () => await transport.close());
  const tls = { ca: [], client: [], skipVerify: false };
  const host = {
    baseUrl: new URL("https://secure.example/v2"),
    resolve: true,
    pull: true,
    tls,
    headers: [],
    namespace: undefined,
    isServer: true,
  };
  const request = {
    host,
    service: undefined,
    scope: "s",
    credentials: {
      basic: { username: "u", password: "p" },
      identityToken: undefined,
      registryToken: undefined,
    },
  };
  const tokens = new TokenSource(transport);
  await rejects(
    tokens.token({ ...request, realm: `http://${realm.host}/t` }, undefined, signal),
    "failed-precondition",
    /unencrypted/,
  );
  await rejects(
    tokens.token({ ...request, realm: "http://169.254.169.254/latest" }, undefined, signal),
    "failed-precondition",
    /link-local/,
  );
  await rejects(
    tokens.token({ ...request, realm: "file:///etc/passwd" }, undefined, signal),
    "failed-precondition",
    /not a plain http/,
  );
  assert.equal(realm.requests.length, 0);
});

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
