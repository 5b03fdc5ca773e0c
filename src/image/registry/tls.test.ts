/** The registry client over TLS: certificates of an own authority, of the client, and what is refused. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test, type TestContext } from "node:test";
import { addImage } from "../fake-image.ts";
import { openTestService, type TestService } from "../fake-service.ts";
import { FakeRegistry, type Interceptor } from "./fake-registry.ts";

const signal = new AbortController().signal;
const pki = mkdtempSync(join(tmpdir(), "gantry-tls-"));
after(() => rmSync(pki, { recursive: true, force: true }));

/** One self-signed certificate is authority, server and client at once. */
const SUBJECT = "-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1";
execFileSync(
  "openssl",
  `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 ${SUBJECT} -keyout key.pem -out cert.pem`.split(
    " ",
  ),
  { cwd: pki, stdio: "ignore" },
);
const cert = readFileSync(join(pki, "cert.pem"));
const key = readFileSync(join(pki, "key.pem"));

/** Puts TLS before a fake registry. */
async function start(
  t: TestContext,
  options: ServerOptions = {},
): Promise<{ registry: FakeRegistry; host: string; connections: () => number }> {
  const registry = await new FakeRegistry().start();
  let connections = 0;
  const server = createServer({ cert, key, ...options }, (request, response) =>
    registry.handle(request, response),
  );
  server.on("secureConnection", () => (connections += 1));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await registry.stop();
  });
  return {
    registry,
    host: `localhost:${(server.address() as AddressInfo).port}`,
    connections: () => connections,
  };
}

function openWith(t: TestContext, host: string, settings: string): TestService {
  const service = openTestService();
  t.after(async () => await service.close());
  const directory = join(service.directory, "certs.d", host);
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "hosts.toml"), `server = "https://${host}"\n${settings}`);
  return service;
}

test("a certificate that nobody vouches for is refused, once", async (t) => {
  const { registry, host } = await start(t);
  addImage(registry, "app", "1", ["x"]);
  const service = openWith(t, host, "");
  await assert.rejects(service.images.pull({ reference: `${host}/app:1` }, signal), {
    kind: "unavailable",
    message: /certificate/,
  });
  assert.equal(registry.requests.length, 0);
});

test("an authority from hosts.toml is trusted, and skip_verify trusts everything", async (t) => {
  const { registry, host } = await start(t);
  const image = addImage(registry, "app", "1", ["x"]);
  for (const settings of [`ca = "${pki}/cert.pem"`, "skip_verify = true"]) {
    const service = openWith(t, host, settings);
    assert.equal((await service.images.pull({ reference: `${host}/app:1` }, signal)).id, image.id);
  }
});

test("a client certificate is shown to its host, and not to where a redirect leads", async (t) => {
  const secure = await start(t, { requestCert: true, rejectUnauthorized: true, ca: cert });
  const storage = await start(t, { requestCert: true, rejectUnauthorized: true, ca: cert });
  const image = addImage(secure.registry, "app", "1", ["x"]);
  const settings = `ca = "${pki}/cert.pem"\n`;
  await assert.rejects(
    openWith(t, secure.host, settings).images.pull({ reference: `${secure.host}/app:1` }, signal),
    { kind: "unavailable" },
  );
  assert.equal(secure.connections(), 0);
  const service = openWith(t, secure.host, `${settings}client = [["${pki}/cert.pem", "${pki}/key.pem"]]`);
  assert.equal((await service.images.pull({ reference: `${secure.host}/app:1` }, signal)).id, image.id);
  addImage(secure.registry, "app", "2", ["redirected"]);
  secure.registry.intercept = (request, response) => {
    if (!request.url.includes("/blobs/")) return false;
    response.writeHead(307, { location: `https://${storage.host}${request.url}` }).end();
    return true;
  };
  await assert.rejects(service.images.pull({ reference: `${secure.host}/app:2` }, signal), {
    kind: "unavailable",
  });
  assert.equal(storage.connections(), 0);
});

test("a redirect from https to http is followed for blobs, which a digest checks, and for nothing else", async (t) => {
  const { registry, host } = await start(t);
  const storage = await new FakeRegistry().start();
  t.after(async () => await storage.stop());
  const image = addImage(registry, "app", "1", ["x"]);
  addImage(storage, "app", "1", ["x"]);
  const redirect = (part: string): Interceptor => {
    return (request, response) => {
      if (!request.url.includes(part)) return false;
      response.writeHead(307, { location: `http://${storage.host}${request.url}` }).end();
      return true;
    };
  };
  const service = openWith(t, host, `ca = "${pki}/cert.pem"`);
  registry.intercept = redirect("/manifests/");
  await assert.rejects(service.images.pull({ reference: `${host}/app:1` }, signal), {
    kind: "unavailable",
    message: /https to http/,
  });
  assert.equal(storage.requests.length, 0);
  registry.intercept = redirect("/blobs/");
  assert.equal((await service.images.pull({ reference: `${host}/app:1` }, signal)).id, image.id);
});

test("skip_verify is for its host, not for where that redirects to or has its tokens", async (t) => {
  const { registry, host } = await start(t);
  const other = await start(t);
  const name = host.replace("localhost", "127.0.0.1");
  const elsewhere = other.host.replace("localhost", "127.0.0.1");
  addImage(registry, "app", "1", ["x"]);
  addImage(other.registry, "app", "1", ["x"]);
  const service = openWith(t, host, "skip_verify = true");
  const pulled = (): Promise<unknown> => service.images.pull({ reference: `${host}/app:1` }, signal);
  const refused = async (): Promise<void> => {
    await assert.rejects(pulled(), { kind: "unavailable", message: /certificate/ });
    assert.equal(other.registry.requests.length, 0);
  };
  const leadTo = (target: string): void => {
    registry.intercept = (request, response) => {
      if (!request.url.includes("/blobs/")) return false;
      response.writeHead(307, { location: `https://${target}${request.url}` }).end();
      return true;
    };
  };
  leadTo(elsewhere);
  await refused();
  registry.intercept = (request, response) => {
    if (request.headers.authorization === "Bearer t") return false;
    const realm = `Bearer realm="https://${elsewhere}/token"`;
    response.writeHead(401, { "www-authenticate": realm }).end();
    return true;
  };
  await refused();
  // The same server under another name is another host.
  leadTo(name);
  await refused();
  leadTo(other.host);
  await pulled();
});
