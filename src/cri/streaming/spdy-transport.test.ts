/** Our SPDY against another implementation's client, which compresses its headers and keeps to windows. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { createRequire } from "node:module";
import type { Duplex } from "node:stream";
import test from "node:test";
import { pump } from "./pump.ts";
import { SpdyConnection } from "./spdy-connection.ts";

interface TransportConnection {
  start(version: number): void;
  request(
    options: { method: string; host: string; path: string; headers: Record<string, string> },
    done: (error: Error | null, stream: Duplex) => void,
  ): void;
  ping(done: () => void): void;
  end(): void;
}

const transport = createRequire(import.meta.url)("spdy-transport") as {
  connection: {
    create(socket: Duplex, options: { protocol: "spdy"; isServer: boolean }): TransportConnection;
  };
};

async function connected(): Promise<{
  client: TransportConnection;
  types: string[];
  end: () => Promise<void>;
}> {
  const types: string[] = [];
  const server = createServer((socket) => {
    const connection = new SpdyConnection(socket, {
      onStream: (stream) => {
        types.push(stream.headers.get("streamtype") ?? "");
        pump(stream, stream).catch(() => stream.destroy());
      },
    });
    void connection.closed;
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  socket.on("error", () => undefined);
  const client = transport.connection.create(socket, { protocol: "spdy", isServer: false });
  client.start(3.1);
  const end = async (): Promise<void> => {
    socket.destroy();
    server.close();
    await once(server, "close");
  };
  return { client, types, end };
}

function request(client: TransportConnection, streamtype: string): Promise<Duplex> {
  return new Promise((resolve, reject) =>
    client.request({ method: "POST", host: "x", path: "/", headers: { streamtype } }, (error, stream) =>
      error ? reject(error) : resolve(stream),
    ),
  );
}

async function digestOf(stream: Duplex): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of stream) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

test("streams, their headers, their ends and pings", async () => {
  const { client, types, end } = await connected();
  for (const text of ["one", "two", "three"]) {
    const stream = await request(client, text);
    stream.end(text);
    assert.equal(await digestOf(stream), createHash("sha256").update(text).digest("hex"));
  }
  assert.deepEqual(types, ["one", "two", "three"]);
  await new Promise<void>((resolve) => client.ping(resolve));
  await end();
});

test("more than a window in both directions, on many streams at once", async () => {
  const { client, end } = await connected();
  const sent = Array.from({ length: 8 }, (_, index) => Buffer.alloc(700_000 + index, `${index} of eight `));
  const echoed = sent.map(async (bytes) => {
    const stream = await request(client, "data");
    stream.end(bytes);
    return await digestOf(stream);
  });
  assert.deepEqual(
    await Promise.all(echoed),
    sent.map((bytes) => createHash("sha256").update(bytes).digest("hex")),
  );
  await end();
});
