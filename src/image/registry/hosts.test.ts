import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { parseChallenges } from "./challenge.ts";
import { credentialsForHost, parseCredentials } from "./credentials.ts";
import { findHosts } from "./hosts.ts";
import type { RegistryHost } from "./host.ts";

const root = mkdtempSync(join(tmpdir(), "gantry-hosts-"));
after(() => rmSync(root, { recursive: true, force: true }));

function put(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

async function hosts(registry: string, plainHttpHosts: string[] = []): Promise<RegistryHost[]> {
  return await findHosts(registry, {
    configDirectories: [join(root, "absent"), join(root, "certs.d")],
    plainHttpHosts,
  });
}

async function urls(registry: string, plainHttpHosts: string[] = []): Promise<string[]> {
  return (await hosts(registry, plainHttpHosts)).map(({ baseUrl }) => baseUrl.href);
}

test("without files the registry itself is asked", async () => {
  assert.deepEqual(await urls("docker.io"), ["https://registry-1.docker.io/v2"]);
  assert.deepEqual(await urls("quay.io"), ["https://quay.io/v2"]);
  assert.deepEqual(await urls("registry.test:5000", ["registry.test:5000"]), [
    "http://registry.test:5000/v2",
  ]);
  assert.deepEqual(await urls("localhost:5000"), ["http://localhost:5000/v2"]);
  assert.deepEqual(await urls("127.0.0.1:5000"), ["http://127.0.0.1:5000/v2"]);
  assert.deepEqual(await urls("[::1]:5000"), ["http://[::1]:5000/v2"]);
  assert.deepEqual(await urls("localhost:443"), ["https://localhost/v2"]);
  assert.deepEqual(await urls("127.0.0.1.example"), ["https://127.0.0.1.example/v2"]);
  assert.equal((await hosts("docker.io"))[0]?.namespace, undefined);
});

test("mirrors come in the order of the file, then the server", async () => {
  put(
    "certs.d/docker.io/hosts.toml",
    `server = "https://registry-1.docker.io"
[host."https://b.example"]
  capabilities = ["pull", "resolve"]
  ca = "ca.pem"
  client = [["c.pem", "k.pem"], ["both.pem"]]
  [host."https://b.example".header]
    X-Token = "secret"
    X-Many = ["1", "2"]
[host."http://a.example:8080/prefix/"]
  capabilities = ["pull"]
  skip_verify = true
[host."https://c.example/api/docker"]
  override_path = true
[host."d.example/v2"]
  dial_timeout = "5s"
`,
  );
  for (const name of ["ca.pem", "c.pem", "k.pem", "both.pem"])
    put(`certs.d/docker.io/${name}`, `PEM ${name}`);
  const found = await hosts("docker.io");
  assert.deepEqual(
    found.map(({ baseUrl }) => baseUrl.href),
    [
      "https://b.example/v2",
      "http://a.example:8080/prefix/v2",
      "https://c.example/api/docker",
      "https://d.example/v2",
      "https://registry-1.docker.io/v2",
    ],
  );
  assert.deepEqual(
    found.map(({ namespace }) => namespace),
    ["docker.io", "docker.io", "docker.io", "docker.io", undefined],
  );
  assert.deepEqual(
    found.map(({ isServer }) => isServer),
    [false, false, false, false, true],
  );
  const [first, second] = found;
  assert.deepEqual(first?.tls, {
    ca: ["PEM ca.pem"],
    client: [
      { cert: "PEM c.pem", key: "PEM k.pem" },
      { cert: "PEM both.pem", key: "PEM both.pem" },
    ],
    skipVerify: false,
  });
  assert.deepEqual(first?.headers, [
    ["x-token", "secret"],
    ["x-many", "1"],
    ["x-many", "2"],
  ]);
  assert.equal(second?.resolve, false);
  assert.equal(second?.tls.skipVerify, true);
});

test("a directory may be named host:port or host_port_, and _default serves the rest", async () => {
  put("certs.d/one.example:5000/hosts.toml", 'server = "http://1.example"');
  put("certs.d/two.example_5000_/hosts.toml", 'server = "http://2.example"');
  put("certs.d/_default/hosts.toml", '[host."http://mirror.example"]');
  assert.deepEqual(await urls("one.example:5000"), ["http://1.example/v2"]);
  assert.deepEqual(await urls("two.example:5000"), ["http://2.example/v2"]);
  assert.deepEqual(await urls("three.example"), ["http://mirror.example/v2", "https://three.example/v2"]);
  assert.equal((await hosts("one.example:5000"))[0]?.namespace, "one.example:5000");
  rmSync(join(root, "certs.d/_default"), { recursive: true });
  assert.deepEqual(await urls("three.example"), ["https://three.example/v2"], "read anew each time");
});

test("Docker's certificate files count where there is no hosts.toml", async () => {
  for (const name of ["ca.crt", "client.cert", "client.key", "other.cert"])
    put(`certs.d/certs.example/${name}`, name);
  const [host] = await hosts("certs.example");
  assert.deepEqual(host?.tls, {
    ca: ["ca.crt"],
    client: [{ cert: "client.cert", key: "client.key" }],
    skipVerify: false,
  });
});

for (const [name, text, message] of [
  ["syntax", 'server = "x\n', /hosts\.toml:1: /],
  [
    "skip_verify",
    '[host."https://m.example"]\n\n  skip_verify = "yes"\n',
    /hosts\.toml:3: host\."https:\/\/m\.example"\.skip_verify: must be true or false/,
  ],
  ["capability", 'capabilities = ["fly"]', /hosts\.toml:1: capabilities: unknown capability "fly"/],
  ["host", "host = 1", /hosts\.toml:1: host: must be a table/],
  ["scheme", '[host."ftp://m.example"]', /must be http or https/],
  ["credentials", '[host."https://user:pw@m.example"]', /must not hold credentials/],
  ["ca", 'ca = "absent.pem"', /hosts\.toml:1: ca: ENOENT/],
  ["header", '[header]\n"x y" = "1"', /not a valid header/],
  ["injected header", '[header]\nx = "1\\r\\ny: 2"', /not a valid header/],
  ["client", "client = [1]", /client: must be/],
] as const) {
  test(`a wrong ${name} names file, line and key`, async () => {
    put("certs.d/wrong.example/hosts.toml", text);
    await assert.rejects(hosts("wrong.example"), (error: Error & { kind?: string }) => {
      assert.equal(error.kind, "failed-precondition");
      assert.match(error.message, message);
      return true;
    });
  });
}

test("challenges parse, whatever the order and quoting", () => {
  assert.deepEqual(
    parseChallenges('Bearer realm="https://a/t?x=1,2",service=s, scope="repository:a:pull,push"').map((c) => [
      c.scheme,
      ...c.parameters,
    ]),
    [["bearer", ["realm", "https://a/t?x=1,2"], ["service", "s"], ["scope", "repository:a:pull,push"]]],
  );
  assert.deepEqual(
    parseChallenges('Negotiate, BASIC Realm="a \\"b\\"", Bearer realm=x').map((c) => [
      c.scheme,
      ...c.parameters,
    ]),
    [["negotiate"], ["basic", ["realm", 'a "b"']], ["bearer", ["realm", "x"]]],
  );
  assert.deepEqual(
    parseChallenges(['Basic realm="a"', "Bearer realm=b"]).map((c) => c.scheme),
    ["basic", "bearer"],
  );
  for (const garbage of ["", ",,,", '="', 'Bearer realm="unclosed', "x".repeat(9000)])
    parseChallenges(garbage);
});

test("credentials are taken from every field of the call", () => {
  const auth = (text: string): string => Buffer.from(text).toString("base64");
  assert.deepEqual(parseCredentials({ username: "u", password: "p" })?.basic, {
    username: "u",
    password: "p",
  });
  assert.deepEqual(parseCredentials({ auth: auth("u:p:q\0") })?.basic, { username: "u", password: "p:q" });
  assert.equal(parseCredentials({ auth: auth("<token>:t") })?.identityToken, "t");
  assert.equal(parseCredentials({}), undefined);
  assert.equal(parseCredentials({ username: "", auth: "" }), undefined);
  for (const bad of ["!!!", auth("nocolon"), auth(":p")]) {
    assert.throws(() => parseCredentials({ auth: bad }), { kind: "invalid-argument" });
  }
  assert.throws(() => parseCredentials({ registryToken: "a\r\nb" }), { kind: "invalid-argument" });
});

test("credentials are for the registry, or for the mirror that serverAddress names", () => {
  const host = (name: string, isServer: boolean): RegistryHost => ({
    baseUrl: new URL(`https://${name}/v2`),
    resolve: true,
    pull: true,
    tls: { ca: [], client: [], skipVerify: false },
    headers: [],
    namespace: undefined,
    isServer,
  });
  const credentials = parseCredentials({ username: "u", password: "p" });
  const server = host("registry-1.docker.io", true);
  const mirror = host("mirror.example", false);
  const given = (address: string | undefined, to: RegistryHost): boolean =>
    credentialsForHost(credentials, address, "docker.io", to) !== undefined;
  assert.equal(given(undefined, server), true);
  assert.equal(given(undefined, mirror), false);
  assert.equal(given("https://index.docker.io/v1/", server), true);
  assert.equal(given("docker.io", server), true);
  assert.equal(given("https://index.docker.io/v1/", mirror), false);
  assert.equal(given("https://other.example", server), false);
  assert.equal(given("https://mirror.example/v2", mirror), true);
  assert.equal(given("https://mirror.example/v2", server), false);
});
