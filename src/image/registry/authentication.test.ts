/** The registry client: tokens, basic authentication, and who gets which credentials. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { addImage } from "../fake-image.ts";
import { refuse, type Interceptor } from "./fake-registry.ts";
import { AUTH, BASIC, pull, rejects, setUp, signal, startRegistry } from "./registry-test-setup.ts";

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
  for (const address of [
    "169.254.169.254",
    "[fe80::1]",
    "[febf::1]",
    "[::ffff:169.254.169.254]",
    "0xa9fea9fe",
  ]) {
    await rejects(
      tokens.token({ ...request, realm: `https://${address}/latest` }, undefined, signal),
      "failed-precondition",
      /link-local/,
    );
  }
  await rejects(
    tokens.token({ ...request, realm: "file:///etc/passwd" }, undefined, signal),
    "failed-precondition",
    /not a plain http/,
  );
  assert.equal(realm.requests.length, 0);
});
