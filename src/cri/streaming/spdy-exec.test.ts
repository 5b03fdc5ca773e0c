import assert from "node:assert/strict";
import { once } from "node:events";
import test from "node:test";
import { SpdyTestClient } from "./spdy-test-client.ts";
import { controlFrame, numbersFrame, SPDY_FRAME } from "./spdy-frame.ts";
import { serveStreams } from "./serve-streams-for-test.ts";

function openAll(client: SpdyTestClient, ...types: string[]): Record<string, number> {
  return Object.fromEntries(types.map((type) => [type, client.open({ streamtype: type })]));
}

test("exec: streams both ways, the end of input, and the exit code last", async () => {
  await using served = serveStreams();
  const client = await SpdyTestClient.connect(await served.exec(), "v9.channel.k8s.io, v4.channel.k8s.io");
  assert.match(client.response, /^HTTP\/1.1 101 /);
  assert.match(client.response, /x-stream-protocol-version: v4.channel.k8s.io\r\n/);
  const {
    error = 0,
    stdin = 0,
    stdout = 0,
    stderr = 0,
  } = openAll(client, "error", "stdin", "stdout", "stderr");
  served.process.stderr.write("oops");
  served.process.echoes(3);
  client.send(stdin, "hello ");
  client.send(stdin, "world", true);
  assert.equal(String(await client.whole(stdout)), "hello world");
  assert.equal(String(await client.whole(stderr)), "oops");
  const status = JSON.parse(String(await client.whole(error))) as { reason: string };
  assert.equal(status.reason, "NonZeroExitCode");
  const order = client
    .frames()
    .flatMap((frame) => (frame.type === "data" && frame.fin ? [frame.streamId] : []));
  assert.equal(order.at(-1), error);
  await client.frame((frame) => frame.type === "goaway");
  client.socket.end();
  await client.closed();
  assert.deepEqual(served.asked, [{ command: ["cat"], terminal: false, stdin: true }]);
});

test("exec with a terminal: sizes arrive, and old versions get text", async () => {
  await using served = serveStreams();
  const url = await served.exec({ tty: true, stderr: false });
  const client = await SpdyTestClient.connect(url, "v3.channel.k8s.io");
  const { error = 0, resize = 0 } = openAll(client, "error", "stdin", "stdout", "resize");
  client.send(resize, '{"Width":80,"Hei');
  client.send(resize, 'ght":24}{"Width":100,"Height":30}');
  while (served.process.sizes.length < 2) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(served.process.sizes, ["80x24", "100x30"]);
  served.process.exits(3);
  assert.match(String(await client.whole(error)), /^command terminated .* 3$/);
  client.socket.destroy();
});

test("what the engine refuses is told on the error stream", async () => {
  await using served = serveStreams({ fails: new Error("exec in container: no such file") });
  const client = await SpdyTestClient.connect(await served.exec({ stdin: false, stderr: false }));
  const { error = 0 } = openAll(client, "error", "stdout");
  assert.match(String(await client.whole(error)), /"Failure".*no such file/);
  client.socket.destroy();
});

test("the client's going ends the exec", async () => {
  await using served = serveStreams();
  const client = await SpdyTestClient.connect(await served.exec());
  openAll(client, "error", "stdin", "stdout", "stderr");
  served.process.stdout.write("up");
  await client.frame((frame) => frame.type === "data");
  client.socket.destroy();
  await served.process.left;
});

test("streams that were not asked for, or come twice, are reset", async () => {
  await using served = serveStreams();
  const client = await SpdyTestClient.connect(await served.exec({ stdin: false }));
  const again = openAll(client, "error", "stdin", "nonsense", "stdout", "stderr");
  const second = client.open({ streamtype: "stdout" });
  const none = client.open({});
  for (const id of [again["stdin"], again["nonsense"], second, none])
    await client.frame((frame) => frame.type === "reset" && frame.streamId === id);
  served.process.exits(0);
  assert.match(String(await client.whole(again["error"] ?? 0)), /Success/);
  client.socket.destroy();
});

test("a client that makes its streams too late is dropped", async () => {
  await using served = serveStreams({ creationTimeoutMs: 30 });
  const client = await SpdyTestClient.connect(await served.exec());
  client.open({ streamtype: "error" });
  await client.closed();
  assert.deepEqual(served.asked, []);
});

test("an idle connection is ended, a used one is not", async () => {
  await using served = serveStreams({ idleTimeoutMs: 1500 });
  const client = await SpdyTestClient.connect(await served.exec());
  const { stdin = 0, stdout = 0 } = openAll(client, "error", "stdin", "stdout", "stderr");
  served.process.echoes();
  for (let round = 1; round <= 10; round++) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    client.send(stdin, ".");
    while (client.received(stdout).length < round)
      await client.frame(() => client.received(stdout).length >= round);
  }
  await client.closed();
  await served.process.left;
});

test("pings are answered, and ours are not needed", async () => {
  await using served = serveStreams();
  const client = await SpdyTestClient.connect(await served.exec());
  client.socket.write(numbersFrame(SPDY_FRAME.PING, 1));
  await client.frame((frame) => frame.type === "ping" && frame.id === 1);
  client.socket.write(numbersFrame(SPDY_FRAME.PING, 2));
  client.socket.write(numbersFrame(SPDY_FRAME.PING, 3));
  await client.frame((frame) => frame.type === "ping" && frame.id === 3);
  assert.equal(
    client.frames().some((frame) => frame.type === "ping" && frame.id === 2),
    false,
  );
  client.socket.destroy();
});

test("malformed frames end the connection and nothing else", async () => {
  await using served = serveStreams();
  const attacks: ((client: SpdyTestClient) => void)[] = [
    (client) => client.socket.write(Buffer.from([0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff])),
    (client) => client.socket.write(Buffer.from([0x80, 2, 0, 1, 0, 0, 0, 0])),
    (client) => client.openAs(2, {}),
    (client) => {
      client.openAs(5, {});
      client.openAs(3, {});
    },
    (client) => {
      client.openAs(5, {});
      client.openAs(5, {});
    },
    (client) => client.socket.write(controlFrame(SPDY_FRAME.SYN_STREAM, Buffer.alloc(20, 9))),
    (client) => client.openAs(0, {}),
  ];
  for (const attack of attacks) {
    const client = await SpdyTestClient.connect(await served.exec());
    attack(client);
    await client.closed();
  }
  // Data and resets of streams that are not there are no reason to end the rest.
  const client = await SpdyTestClient.connect(await served.exec());
  const { error = 0, stdout = 0 } = openAll(client, "error", "stdin", "stdout", "stderr");
  client.send(99, "nobody");
  client.reset(101);
  client.send(stdout, "not an input");
  served.process.exits(0);
  assert.match(String(await client.whole(error)), /Success/);
  client.socket.destroy();
});

test("a slow client gets every byte, and holds up the process instead of filling memory", async () => {
  await using served = serveStreams();
  const client = await SpdyTestClient.connect(await served.exec({ stdin: false }));
  const { stdout = 0 } = openAll(client, "error", "stdout", "stderr");
  await client.frame(() => client.frames().length >= 3);
  client.socket.pause();
  const total = 64 * 1024 * 1024;
  const chunk = Buffer.alloc(64 * 1024, "x");
  let written = 0;
  let stalled = 0;
  const produce = (async () => {
    for (; written < total; written += chunk.length)
      if (!served.process.stdout.write(chunk)) {
        const drained = once(served.process.stdout, "drain");
        const timer = setTimeout(() => {
          stalled ||= written;
          client.socket.resume();
        }, 300);
        await drained;
        clearTimeout(timer);
      }
    served.process.exits(0);
  })();
  await produce;
  assert.ok(stalled > 0 && stalled < total / 2, `stopped at ${stalled}`);
  assert.equal((await client.whole(stdout)).length, total);
  client.socket.destroy();
});

test("input that is not read holds up the client", async () => {
  await using served = serveStreams();
  const client = await SpdyTestClient.connect(await served.exec());
  const { stdin = 0, error = 0 } = openAll(client, "error", "stdin", "stdout", "stderr");
  const total = 64 * 1024 * 1024;
  const chunk = Buffer.alloc(64 * 1024, "y");
  let sent = 0;
  let read = 0;
  let stalled = 0;
  for (; sent < total; sent += chunk.length)
    if (!client.send(stdin, chunk)) {
      const drained = once(client.socket, "drain");
      const timer = setTimeout(() => {
        // A slow moment later may look like a second stall.
        if (stalled > 0) return;
        stalled = sent;
        served.process.stdin.on("data", (bytes: Buffer) => (read += bytes.length));
        served.process.stdin.once("end", () => served.process.exits(0));
      }, 300);
      await drained;
      clearTimeout(timer);
    }
  client.send(stdin, "", true);
  assert.match(String(await client.whole(error)), /Success/);
  assert.ok(stalled > 0 && stalled < total / 2, `stopped at ${stalled}`);
  assert.equal(read, total);
  client.socket.destroy();
});
