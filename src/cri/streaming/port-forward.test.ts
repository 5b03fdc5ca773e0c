import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect as connectTo, createServer, type Socket } from "node:net";
import { Duplex } from "node:stream";
import test from "node:test";
import { WebSocket } from "ws";
import { SpdyTestClient } from "./spdy-test-client.ts";
import { serveStreams } from "./serve-streams-for-test.ts";
import { SPDY_FRAME, controlFrame, numbersFrame } from "./spdy-frame.ts";
import { MAX_STREAMS } from "./spdy-connection.ts";

const PROTOCOL = "portforward.k8s.io";

/** A listener of the test's own; "port 80" of the pod. */
async function listener(
  serve: (socket: Socket) => void,
): Promise<AsyncDisposable & { connect: () => Promise<Socket> }> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => undefined);
    serve(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    connect: async () => {
      const socket = connectTo({ port, host: "127.0.0.1", allowHalfOpen: true });
      await once(socket, "connect");
      return socket;
    },
    [Symbol.asyncDispose]: async () => void server.close(),
  };
}

function pair(client: SpdyTestClient, port: string, requestid?: string): { data: number; error: number } {
  const headers = { port, ...(requestid === undefined ? {} : { requestid }) };
  const error = client.open({ streamtype: "error", ...headers }, true);
  return { error, data: client.open({ streamtype: "data", ...headers }) };
}

test("each connection has its pair of streams; an end is passed on in each direction alone", async () => {
  await using target = await listener((socket) => {
    let text = "";
    socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
    socket.on("end", () => socket.end(text.toUpperCase()));
  });
  await using served = serveStreams({ connect: target.connect });
  const client = await SpdyTestClient.connect(await served.portForward(), PROTOCOL);
  assert.match(client.response, /x-stream-protocol-version: portforward.k8s.io/);
  const first = pair(client, "80", "0");
  const second = pair(client, "80", "1");
  const old = pair(client, "80");
  for (const [index, { data }] of [first, second, old].entries()) {
    client.send(data, `number `);
    client.send(data, `${index}`, true);
  }
  for (const [index, { data, error }] of [first, second, old].entries()) {
    assert.equal(String(await client.whole(data)), `NUMBER ${index}`);
    assert.equal(String(await client.whole(error)), "");
  }
  client.socket.destroy();
});

test("what cannot be connected, and what is no port, is told on the error stream; others go on", async () => {
  await using served = serveStreams();
  const client = await SpdyTestClient.connect(await served.portForward(), PROTOCOL);
  for (const [port, message] of [
    ["81", /port 81: connect: ECONNREFUSED/],
    ["0", /"0" is not a port/],
    ["65536", /is not a port/],
    ["80; rm", /is not a port/],
    ["", /is not a port/],
  ] as const) {
    const { error } = pair(client, port, `request ${port}`);
    assert.match(String(await client.whole(error)), message);
  }
  client.socket.destroy();
});

test("a stream without its other half is given up", async () => {
  await using served = serveStreams({ creationTimeoutMs: 30 });
  const client = await SpdyTestClient.connect(await served.portForward(), PROTOCOL);
  const alone = client.open({ streamtype: "data", port: "80", requestid: "7" });
  await client.frame((frame) => frame.type === "reset" && frame.streamId === alone);
  client.socket.destroy();
});

test("a reset by the client, its going and the target's going end the connection", async () => {
  const accepted: Socket[] = [];
  await using target = await listener((socket) => {
    accepted.push(socket);
    socket.write("up");
  });
  await using served = serveStreams({ connect: target.connect });
  const client = await SpdyTestClient.connect(await served.portForward(), PROTOCOL);
  const ready = async (data: number): Promise<void> =>
    void (await client.frame(() => client.received(data).length === 2));

  const given = pair(client, "80", "0");
  await ready(given.data);
  client.reset(given.data);
  assert.equal(String(await client.whole(given.error)), "");

  const lost = pair(client, "80", "1");
  await ready(lost.data);
  accepted[1]?.resetAndDestroy();
  await client.frame((frame) => frame.type === "reset" && frame.streamId === lost.data);

  const held = pair(client, "80", "2");
  await ready(held.data);
  const [, , third] = accepted;
  const gone = once(third as Socket, "close");
  third?.resume().once("end", () => third.end());
  client.socket.destroy();
  await gone;
});

test("a target that does not read holds up the client; every byte arrives", async () => {
  const total = 32 * 1024 * 1024;
  let read = 0;
  let release = (): void => undefined;
  await using target = await listener((socket) => {
    socket.pause();
    socket.on("end", () => socket.end());
    release = () => {
      // A slow moment later may look like a second stall.
      if (socket.listenerCount("data") === 0) socket.on("data", (chunk: Buffer) => (read += chunk.length));
      socket.resume();
    };
  });
  await using served = serveStreams({ connect: target.connect });
  const client = await SpdyTestClient.connect(await served.portForward(), PROTOCOL);
  const { data } = pair(client, "80", "0");
  const chunk = Buffer.alloc(64 * 1024);
  let stalled = false;
  for (let sent = 0; sent < total; sent += chunk.length)
    if (!client.send(data, chunk)) {
      const timer = setTimeout(() => {
        stalled = true;
        release();
      }, 300);
      await once(client.socket, "drain");
      clearTimeout(timer);
    }
  client.send(data, "", true);
  await client.whole(data);
  assert.ok(stalled);
  assert.equal(read, total);
  client.socket.destroy();
});

test("streams are bounded; opening and resetting without end is served in bounded memory", async () => {
  await using served = serveStreams({ connect: () => new Promise(() => undefined) });
  const client = await SpdyTestClient.connect(await served.portForward(), PROTOCOL);
  let last = 0;
  for (let index = 0; index <= MAX_STREAMS; index++)
    last = client.open({ streamtype: "data", port: "80", requestid: `${index}` });
  await client.frame((frame) => frame.type === "reset" && frame.streamId === last);
  client.socket.destroy();

  const rapid = await SpdyTestClient.connect(await served.portForward(), PROTOCOL);
  for (let index = 0; index < 5000; index++) {
    rapid.reset(rapid.open({ streamtype: "data", port: "80", requestid: "0" }));
    if (rapid.socket.writableNeedDrain) await once(rapid.socket, "drain");
  }
  rapid.socket.write(numbersFrame(SPDY_FRAME.PING, 1));
  await rapid.frame((frame) => frame.type === "ping");
  rapid.socket.destroy();
});

test("a client that announces windows is kept to them", async () => {
  await using target = await listener((socket) => socket.end(Buffer.alloc(100_000)));
  await using served = serveStreams({ connect: target.connect });
  const client = await SpdyTestClient.connect(await served.portForward(), PROTOCOL);
  client.socket.write(
    controlFrame(SPDY_FRAME.SETTINGS, Buffer.from([0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0x40, 0])),
  );
  const { data } = pair(client, "80", "0");
  await client.frame(() => client.received(data).length >= 16_384);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(client.received(data).length, 16_384);
  client.socket.write(numbersFrame(SPDY_FRAME.WINDOW_UPDATE, data, 1_000_000));
  await client.frame(() => client.received(data).length >= 65_536);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(client.received(data).length, 65_536, "the connection has a window, too");
  client.socket.write(numbersFrame(SPDY_FRAME.WINDOW_UPDATE, 0, 1_000_000));
  assert.equal((await client.whole(data)).length, 100_000);
  client.socket.destroy();
});

test("over a WebSocket with channels: the port first, then data", async () => {
  await using target = await listener((socket) =>
    socket.once("data", (chunk) => socket.end(`got ${String(chunk)}`)),
  );
  await using served = serveStreams({ connect: target.connect });
  const socket = new WebSocket(await served.portForward(8080), ["v4.channel.k8s.io"]);
  const messages: Buffer[] = [];
  socket.on("message", (data: Buffer) => messages.push(data));
  await once(socket, "open");
  socket.send(Buffer.from("\0ping"));
  await once(socket, "close");
  const channel = (number: number): Buffer =>
    Buffer.concat(messages.flatMap((data) => (data[0] === number ? [data.subarray(1)] : [])));
  assert.deepEqual(channel(1), Buffer.from([0x90, 0x1f]));
  assert.deepEqual(channel(0), Buffer.from("\x90\x1fgot ping", "latin1"));
  const none = new WebSocket(await served.portForward(), ["v4.channel.k8s.io"]);
  const [error] = (await once(none, "error")) as [Error];
  assert.match(error.message, /400/);
});

test("a stream that is reset before it has its other half is forgotten", async () => {
  await using served = serveStreams({ creationTimeoutMs: 3_600_000 });
  const client = await SpdyTestClient.connect(await served.portForward(), PROTOCOL);
  const headers = { port: "80", requestid: "0" };
  client.reset(client.open({ streamtype: "data", ...headers }));
  // The same request once more: both halves are new.
  const { error } = pair(client, "80", "0");
  assert.match(String(await client.whole(error)), /ECONNREFUSED/);
  client.socket.destroy();
});

test("a target that never takes the rest goes with the client, also where both streams have ended", async () => {
  const target = new Duplex({
    read: () => void target.push(null),
    write: (_chunk, _encoding, done) => done(),
    final: () => undefined,
  });
  const gone = once(target, "close");
  await using served = serveStreams({ connect: () => Promise.resolve(target) });
  const client = await SpdyTestClient.connect(await served.portForward(), PROTOCOL);
  const { data } = pair(client, "80", "0");
  client.send(data, "all of it", true);
  await client.whole(data);
  client.socket.destroy();
  await gone;
});
