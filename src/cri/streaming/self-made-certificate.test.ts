import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import test from "node:test";
import { connect, createServer } from "node:tls";
import { makeCertificate } from "./self-made-certificate.ts";

test("the certificate is signed by its own key, for its addresses, and for servers", () => {
  const { certificate } = makeCertificate("gantryd", ["127.0.0.1", "localhost", "::1", "fd00::a:b"]);
  const parsed = new X509Certificate(certificate);
  assert.equal(parsed.subject, "CN=gantryd");
  assert.ok(parsed.verify(parsed.publicKey));
  assert.equal(parsed.checkIP("127.0.0.1"), "127.0.0.1");
  assert.equal(parsed.checkHost("localhost"), "localhost");
  assert.ok(parsed.checkIP("::1"));
  assert.ok(parsed.checkIP("fd00::a:b"));
  assert.equal(parsed.checkIP("127.0.0.2"), undefined);
  assert.deepEqual(parsed.keyUsage, ["1.3.6.1.5.5.7.3.1"]);
  const days = (new Date(parsed.validTo).getTime() - Date.now()) / 86_400_000;
  assert.ok(days > 364 && days < 366, parsed.validTo);
  assert.ok(new Date(parsed.validFrom).getTime() < Date.now());
});

test("a client that trusts it connects, and another one does not", async () => {
  const { certificate, key } = makeCertificate("gantryd", ["127.0.0.1"]);
  const server = createServer({ cert: certificate, key }, (socket) => socket.end("hello"));
  server.on("tlsClientError", () => undefined);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const trusting = connect({ host: "127.0.0.1", port, ca: certificate });
  const [data] = (await once(trusting, "data")) as [Buffer];
  assert.equal(data.toString(), "hello");
  trusting.destroy();
  const doubting = connect({ host: "127.0.0.1", port });
  const [error] = (await once(doubting, "error")) as [NodeJS.ErrnoException];
  assert.equal(error.code, "DEPTH_ZERO_SELF_SIGNED_CERT");
  server.close();
});
