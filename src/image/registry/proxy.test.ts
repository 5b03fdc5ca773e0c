/** Registries behind an HTTP proxy that the environment names. */
import assert from "node:assert/strict";
import { createServer, request as forward } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { addImage } from "../fake-image.ts";
import { openTestService } from "../fake-service.ts";
import { FakeRegistry } from "./fake-registry.ts";

const signal = new AbortController().signal;

/** A proxy that takes every name for this machine, and records what it was asked for. */
async function startProxy(t: TestContext, port: () => number): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((incoming, response) => {
    asked.push(`${incoming.method} ${incoming.url}`);
    const { pathname, search } = new URL(incoming.url ?? "");
    const onward = forward({
      host: "127.0.0.1",
      port: port(),
      path: pathname + search,
      method: incoming.method,
      headers: incoming.headers,
    });
    onward.on("response", (answer) =>
      answer.pipe(response.writeHead(answer.statusCode ?? 500, answer.headers)),
    );
    incoming.pipe(onward);
  });
  server.on("connect", (incoming, socket) => {
    asked.push(`CONNECT ${incoming.url}`);
    const onward = connect(port(), "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 OK\r\n\r\n");
      onward.pipe(socket).pipe(onward);
    });
    for (const each of [onward, socket]) each.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

function setProxy(t: TestContext, variables: Record<string, string>): void {
  for (const name of ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"]) {
    const before = process.env[name];
    t.after(() => {
      if (before === undefined) delete process.env[name];
      else process.env[name] = before;
    });
    if (variables[name] === undefined) delete process.env[name];
    else process.env[name] = variables[name];
  }
}

test("registries elsewhere are asked through the proxy, those on loopback directly", async (t) => {
  const registry = await new FakeRegistry().start();
  t.after(async () => await registry.stop());
  const image = addImage(registry, "app", "1", ["x"]);
  const port = registry.host.split(":")[1] as string;
  const proxy = await startProxy(t, () => Number(port));
  setProxy(t, { HTTP_PROXY: proxy.url, HTTPS_PROXY: proxy.url });
  const service = openTestService({ plainHttpHosts: [`registry.invalid:${port}`] });
  t.after(async () => await service.close());
  assert.equal(
    (await service.images.pull({ reference: `registry.invalid:${port}/app:1` }, signal)).id,
    image.id,
  );
  assert.ok(proxy.asked.length > 0);
  proxy.asked.length = 0;
  assert.equal((await service.images.pull({ reference: `127.0.0.1:${port}/app:1` }, signal)).id, image.id);
  assert.deepEqual(proxy.asked, []);
  // TLS goes through a tunnel; what is at its end here does not speak it.
  await assert.rejects(service.images.pull({ reference: "secure.invalid/app:1" }, signal), {
    kind: "unavailable",
  });
  assert.deepEqual(new Set(proxy.asked), new Set(["CONNECT secure.invalid:443"]));
});

test("NO_PROXY is kept", async (t) => {
  const proxy = await startProxy(t, () => 1);
  setProxy(t, { HTTPS_PROXY: proxy.url, NO_PROXY: "secure.invalid" });
  const service = openTestService();
  t.after(async () => await service.close());
  await assert.rejects(service.images.pull({ reference: "secure.invalid/app:1" }, signal), {
    kind: "unavailable",
    message: /secure\.invalid/,
  });
  assert.deepEqual(proxy.asked, []);
});
