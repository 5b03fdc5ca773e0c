import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { duplexPair } from "node:stream";
import test from "node:test";
import { connect as connectTls } from "node:tls";
import { WebSocket } from "ws";
import { makeCertificate } from "./self-made-certificate.ts";
import { serveStreams } from "./serve-streams-for-test.ts";
import { refuse } from "./upgrade-response.ts";
import { SpdyTestClient } from "./spdy-test-client.ts";

async function statusOf(url: string, protocols?: string, headers?: Record<string, string>): Promise<string> {
  const client = await SpdyTestClient.connect(url, protocols, headers);
  client.socket.destroy();
  return client.response.slice("HTTP/1.1 ".length, "HTTP/1.1 ".length + 3);
}

test("a URL is good for one connection of its own kind", async () => {
  await using served = serveStreams();
  const url = await served.exec();
  assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/exec\/[\w-]{43}$/);
  assert.equal(await statusOf(url), "101");
  assert.equal(await statusOf(url), "404");
  assert.equal(await statusOf((await served.exec()).replace("/exec/", "/attach/")), "404");
  const { origin } = new URL(url);
  for (const path of ["/", "/exec", "/exec/", "/exec/x/y", "//", "/exec/%2e%2e", "/../exec/x"])
    assert.equal(await statusOf(`${origin}${path}`), "404");
  assert.equal(await statusOf(`${await served.exec()}?container=x`), "101");
});

test("what is no upgrade is answered and closed", async () => {
  await using served = serveStreams();
  const url = await served.exec();
  const answer = await fetch(url);
  assert.equal(answer.status, 404);
  assert.equal(await statusOf(url), "101", "the token was not spent on it");
  assert.equal(await statusOf(await served.exec(), "v4.channel.k8s.io", { Upgrade: "h2c" }), "400");
  assert.equal(await statusOf(await served.exec(), ""), "400");
  const none = await SpdyTestClient.connect(await served.exec(), "v9.channel.k8s.io");
  assert.match(none.response, /^HTTP\/1.1 403 /);
  assert.match(none.response, /x-accepted-stream-protocol-versions: v4.channel.k8s.io, v3/);
  none.socket.destroy();
  const socket = new WebSocket(await served.exec(), ["v9.channel.k8s.io"]);
  const [error] = (await once(socket, "error")) as [Error];
  assert.match(error.message, /403/);
});

test("a malformed request and endless headers are answered 400 and 431", async () => {
  await using served = serveStreams();
  const { hostname, port } = new URL(await served.exec());
  for (const [text, status] of [
    ["\0\0\0\0\r\n\r\n", 400],
    [`GET / HTTP/1.1\r\nHost: x\r\nX: ${"x".repeat(20_000)}\r\n\r\n`, 431],
  ] as const) {
    const socket = connect(Number(port), hostname);
    socket.write(text);
    const [chunk] = (await once(socket, "data")) as [Buffer];
    assert.match(chunk.toString(), new RegExp(`^HTTP/1.1 ${status} `));
    socket.destroy();
  }
});

test("no more connections than allowed", async () => {
  await using served = serveStreams({ maxConnections: 2 });
  const first = await SpdyTestClient.connect(await served.exec());
  const second = await SpdyTestClient.connect(await served.exec());
  const { hostname, port } = new URL(await served.exec());
  const third = connect(Number(port), hostname);
  third.on("error", () => undefined);
  await once(third, "close");
  first.socket.destroy();
  second.socket.destroy();
});

test("over TLS, with a certificate of its own", async () => {
  const certified = makeCertificate("gantryd", ["127.0.0.1"]);
  await using served = serveStreams({ tls: () => certified });
  const url = await served.exec();
  assert.match(url, /^https:/);
  const socket = new WebSocket(url.replace(/^https/, "wss"), ["v5.channel.k8s.io"], {
    ca: certified.certificate,
  });
  await once(socket, "open");
  served.process.exits(0);
  const [code] = (await once(socket, "close")) as [number];
  assert.equal(code, 1000);
});

test("closing ends every connection, and there are no more", async () => {
  const served = serveStreams();
  const client = await SpdyTestClient.connect(await served.exec());
  for (const streamtype of ["error", "stdin", "stdout", "stderr"]) client.open({ streamtype });
  served.process.stdout.write("up");
  await client.frame((frame) => frame.type === "data");
  await served.server.close();
  await client.closed();
  await served.process.left;
  await assert.rejects(served.exec(), { kind: "unavailable" });
  await serveStreams().server.close();
});

test("an address that is taken fails the call, and the next one tries again", async () => {
  await using first = serveStreams();
  const port = Number(new URL(await first.exec()).port);
  await using second = serveStreams({ port });
  await assert.rejects(second.server.listen(), { kind: "unavailable", message: /EADDRINUSE/ });
  await first.server.close();
  await second.server.listen();
});

test("a client that is refused and does not close is closed", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const [socket, client] = duplexPair();
  refuse(socket, 404, "no such request");
  client.on("error", () => undefined);
  assert.equal(socket.destroyed, false);
  t.mock.timers.tick(60_000);
  assert.equal(socket.destroyed, true);
});

test("closing does not wait for a TLS handshake that does not come", async () => {
  const served = serveStreams({ tls: () => makeCertificate("gantryd", ["127.0.0.1"]) });
  const { hostname, port } = new URL(await served.exec());
  const silent = connect(Number(port), hostname);
  silent.on("error", () => undefined);
  await once(silent, "connect");
  // Known to the server for sure once a later client has been served.
  const later = connectTls({ port: Number(port), host: hostname, rejectUnauthorized: false });
  await once(later, "secureConnect");
  later.destroy();
  const ended = once(silent, "close");
  await served.server.close();
  await ended;
});

test("a certificate that cannot be read fails the call, and the next one tries again", async () => {
  let readable = false;
  await using served = serveStreams({
    tls: () => {
      if (!readable) throw new Error("no such file");
      return makeCertificate("gantryd", ["127.0.0.1"]);
    },
  });
  await assert.rejects(served.exec(), /no such file/);
  readable = true;
  assert.match(await served.exec(), /^https:/);
});

test("the end of an attached container is success, whatever its exit code", async () => {
  await using served = serveStreams();
  const streams = { tty: false, stdin: false, stdout: true, stderr: false };
  const url = await served.server.url({ kind: "attach", containerId: "c", ...streams });
  const client = await SpdyTestClient.connect(url);
  const error = client.open({ streamtype: "error" });
  client.open({ streamtype: "stdout" });
  served.process.exits(7);
  assert.equal(String(await client.whole(error)), '{"metadata":{},"status":"Success"}');
  client.socket.destroy();
});
