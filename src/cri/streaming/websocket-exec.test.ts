import assert from "node:assert/strict";
import { once } from "node:events";
import test from "node:test";
import { WebSocket } from "ws";
import { serveStreams } from "./serve-streams-for-test.ts";

interface Client {
  socket: WebSocket;
  /** Bytes of a channel so far, decoded by its form. */
  received(channel: number): string;
  closed: Promise<number>;
}

async function open(url: string, ...protocols: string[]): Promise<Client> {
  const socket = new WebSocket(url.replace(/^http/, "ws"), protocols);
  const messages: [Buffer, boolean][] = [];
  socket.on("message", (data: Buffer, binary) => messages.push([data, binary]));
  const closed = once(socket, "close").then(([code]) => code as number);
  await once(socket, "open");
  const decoded = ([data, binary]: [Buffer, boolean]): [number, Buffer] =>
    binary
      ? [data[0] ?? -1, data.subarray(1)]
      : [Number(data.toString()[0]), Buffer.from(data.toString().slice(1), "base64")];
  const received = (channel: number): string =>
    Buffer.concat(
      messages.map(decoded).flatMap(([number, bytes]) => (number === channel ? [bytes] : [])),
    ).toString();
  return { socket, received, closed };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

test("v5: streams, the end of input by the CLOSE channel, and the exit code", async () => {
  await using served = serveStreams();
  const client = await open(await served.exec(), "v5.channel.k8s.io", "v4.channel.k8s.io");
  assert.equal(client.socket.protocol, "v5.channel.k8s.io");
  served.process.stderr.write("oops");
  served.process.echoes(3);
  client.socket.send(Buffer.from("\0hello "));
  client.socket.send(Buffer.from("\0world"));
  client.socket.send(Buffer.from([255, 0]));
  assert.equal(await client.closed, 1000);
  assert.equal(client.received(1), "hello world");
  assert.equal(client.received(2), "oops");
  assert.match(client.received(3), /"reason":"NonZeroExitCode".*"message":"3"/);
});

for (const [protocol, base64, status] of [
  ["v4.channel.k8s.io", false, /Success/],
  ["v4.base64.channel.k8s.io", true, /Success/],
  ["channel.k8s.io", false, /^$/],
  ["base64.channel.k8s.io", true, /^$/],
  ["", false, /^$/],
] as const)
  test(`${protocol || "no protocol named"}: streams and status`, async () => {
    await using served = serveStreams();
    const client = await open(await served.exec(), ...(protocol === "" ? [] : [protocol]));
    assert.equal(client.socket.protocol, protocol);
    served.process.stdin.pipe(served.process.stdout, { end: false });
    client.socket.send(base64 ? `0${Buffer.from("hello").toString("base64")}` : Buffer.from("\0hello"));
    await until(() => client.received(1) === "hello");
    served.process.exits(0);
    await client.closed;
    assert.match(client.received(3), status);
  });

test("a terminal's sizes, and messages that mean nothing", async () => {
  await using served = serveStreams();
  const client = await open(await served.exec({ tty: true, stderr: false }), "v5.channel.k8s.io");
  for (const junk of [[], [9], [0], [77, 1, 2], [255], [255, 99], [255, 255], [1, 1], [2, 5], [3, 5]])
    client.socket.send(Buffer.from(junk));
  client.socket.send(Buffer.concat([Buffer.of(4), Buffer.from('{"Width":90,"Height":20}')]));
  await until(() => served.process.sizes.length > 0);
  assert.deepEqual(served.process.sizes, ["90x20"]);
  client.socket.send(Buffer.from([255, 0]));
  client.socket.send(Buffer.from("\0after the end"));
  served.process.exits(0);
  await client.closed;
  assert.match(client.received(3), /Success/);
});

test("the client's going ends the exec", async () => {
  await using served = serveStreams();
  const client = await open(await served.exec(), "v5.channel.k8s.io");
  served.process.stdout.write("up");
  await until(() => client.received(1) === "up");
  client.socket.terminate();
  await served.process.left;
});

test("a giant message is refused before it is gathered", async () => {
  await using served = serveStreams();
  const client = await open(await served.exec(), "v5.channel.k8s.io");
  client.socket.on("error", () => undefined);
  client.socket.send(Buffer.alloc(17 * 1024 * 1024));
  assert.equal(await client.closed, 1009);
  await served.process.left;
});

test("input that is not read holds up the client, which is told that we live", async () => {
  await using served = serveStreams();
  const client = await open(await served.exec(), "v5.channel.k8s.io");
  const total = 32 * 1024 * 1024;
  const message = Buffer.alloc(64 * 1024 + 1);
  for (let sent = 0; sent < total; sent += message.length - 1) client.socket.send(message);
  client.socket.send(Buffer.from([255, 0]));
  await once(client.socket, "pong");
  assert.ok(client.socket.bufferedAmount > total / 4, `${client.socket.bufferedAmount}`);
  let read = 0;
  served.process.stdin.on("data", (bytes: Buffer) => (read += bytes.length));
  await once(served.process.stdin, "end");
  assert.equal(read, total);
  served.process.exits(0);
  await client.closed;
});

test("a slow client gets every byte, and holds up the process", async () => {
  await using served = serveStreams();
  const client = await open(await served.exec({ stdin: false }), "v4.channel.k8s.io");
  let got = 0;
  client.socket.on("message", (data: Buffer) => (got += data[0] === 1 ? data.length - 1 : 0));
  client.socket.pause();
  const chunk = Buffer.alloc(64 * 1024, "x");
  let written = 0;
  while (written < 32 * 1024 * 1024) {
    written += chunk.length;
    if (served.process.stdout.write(chunk)) continue;
    const drained = once(served.process.stdout, "drain").then(() => true);
    const late = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 300));
    if (!(await Promise.race([drained, late]))) break;
  }
  assert.ok(written < 16 * 1024 * 1024, `${written}`);
  client.socket.resume();
  served.process.exits(0);
  await client.closed;
  assert.equal(got, written);
});
