import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { duplexPair, type Duplex } from "node:stream";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import type { Request__Output } from "./generated/ttrpc/ttrpc/Request.ts";
import { Demultiplexer, framesOf } from "./mux.ts";
import { ttrpcCodec } from "./protocol.ts";
import { type TtrpcService, TtrpcConnection } from "./ttrpc-connection.ts";
import { encodeFrame, FrameDecoder, type TtrpcFrame } from "./ttrpc-frame.ts";

const requests = ttrpcCodec<object, Request__Output>("Request");
const responses = ttrpcCodec<object, { status: { code: number; message: string } | null; payload: Buffer }>(
  "Response",
);

/** The plugin's end, as bytes and frames. */
class Peer {
  readonly socket: Duplex;
  readonly received: TtrpcFrame[] = [];
  readonly connection: TtrpcConnection;

  constructor(service: TtrpcService = () => Promise.reject(new Error("not served"))) {
    const [ours, theirs] = duplexPair();
    this.socket = theirs;
    const streams = new Demultiplexer();
    for (const stream of [1, 2]) {
      const decoder = new FrameDecoder((frame) => this.received.push(frame));
      streams.open(stream, (bytes) => decoder.receive(bytes));
    }
    theirs.on("data", (chunk: Buffer) => streams.receive(chunk));
    theirs.on("error", () => undefined);
    this.connection = new TtrpcConnection(ours, service);
  }

  async frame(index = 0): Promise<TtrpcFrame> {
    while (this.received.length <= index) await turn();
    return this.received[index]!;
  }

  send(stream: number, frame: Partial<TtrpcFrame>): void {
    const whole = { streamId: 1, type: 2, flags: 0, payload: Buffer.alloc(0), ...frame };
    this.socket.write(framesOf(stream, encodeFrame(whole)));
  }
}

test("a call and its answer", async () => {
  const peer = new Peer();
  const answer = peer.connection.call("a.Service", "Method", Buffer.from("question"), 1500);
  const { streamId, type, flags, payload } = await peer.frame();
  assert.deepEqual({ streamId, type, flags }, { streamId: 1, type: 1, flags: 1 });
  assert.deepEqual(requests.decode(payload), {
    service: "a.Service",
    method: "Method",
    payload: Buffer.from("question"),
    timeout_nano: "1500000000",
    metadata: [],
  });
  peer.send(1, { payload: Buffer.from(responses.encode({ payload: Buffer.from("answer") })) });
  assert.equal((await answer).toString(), "answer");
});

test("an error of the peer's is the answer, with its code", async () => {
  const peer = new Peer();
  const answer = peer.connection.call("s", "m", Buffer.alloc(0), 1000);
  await peer.frame();
  peer.send(1, {
    payload: Buffer.from(responses.encode({ status: { code: 12, message: "never heard of it" } })),
  });
  await assert.rejects(answer, { code: 12, message: "never heard of it" });
  const next = peer.connection.call("s", "m", Buffer.alloc(0), 1000);
  assert.equal((await peer.frame(1)).streamId, 3);
  peer.send(1, { streamId: 3 });
  assert.equal((await next).length, 0);
});

test("without an answer a call ends by its timeout, and by the end of the connection", async () => {
  const peer = new Peer();
  await assert.rejects(peer.connection.call("s", "m", Buffer.alloc(0), 1), { kind: "deadline-exceeded" });
  const open = peer.connection.call("s", "m", Buffer.alloc(0), 60_000);
  peer.socket.destroy();
  await assert.rejects(open, { kind: "unavailable" });
  await assert.rejects(peer.connection.call("s", "m", Buffer.alloc(0), 60_000), { kind: "unavailable" });
});

test("the peer's calls are answered, errors too", async () => {
  const peer = new Peer((service, method, payload) =>
    method === "Fail"
      ? Promise.reject(new Error("no"))
      : Promise.resolve(Buffer.from(`${service} ${method} ${payload.toString()}`)),
  );
  const request = (method: string): Buffer =>
    Buffer.from(requests.encode({ service: "R", method, payload: Buffer.from("x") }));
  peer.send(2, { streamId: 1, type: 1, payload: request("Echo") });
  peer.send(2, { streamId: 3, type: 1, payload: request("Fail") });
  assert.equal(responses.decode((await peer.frame(0)).payload).payload.toString(), "R Echo x");
  const failed = await peer.frame(1);
  assert.equal(failed.streamId, 3);
  assert.deepEqual(responses.decode(failed.payload).status, { code: 2, message: "no" });
});

test("what the peer may not do ends its connection", async () => {
  const request = Buffer.from(requests.encode({ service: "R", method: "Echo" }));
  const wrongs: Record<string, (peer: Peer) => void> = {
    "a response that nobody waits for": (peer) => peer.send(1, { streamId: 9 }),
    "a request where responses are due": (peer) => peer.send(1, { type: 1 }),
    "streaming data": (peer) => peer.send(2, { type: 3 }),
    "an even stream id": (peer) => peer.send(2, { streamId: 2, type: 1, payload: request }),
    "a stream id used twice": (peer) => {
      peer.send(2, { streamId: 1, type: 1, payload: request });
      peer.send(2, { streamId: 1, type: 1, payload: request });
    },
    "a request that is none": (peer) => peer.send(2, { type: 1, payload: Buffer.from("ff", "hex") }),
    "a giant message": (peer) =>
      peer.socket.write(Buffer.from("00000002000000 0affffffff000000010200".replace(" ", ""), "hex")),
    "too many calls at once": (peer) => {
      for (let id = 1; id < 200; id += 2) peer.send(2, { streamId: id, type: 1, payload: request });
    },
  };
  for (const [what, wrong] of Object.entries(wrongs)) {
    const peer = new Peer(() => new Promise(() => undefined));
    wrong(peer);
    assert.equal((await peer.connection.closed).kind, "unavailable", what);
  }
});

test("frames of a type to come are passed over", async () => {
  const peer = new Peer(() => Promise.resolve(Buffer.alloc(0)));
  peer.send(2, { type: 9 });
  peer.send(1, { type: 9 });
  peer.send(2, { type: 1, payload: Buffer.from(requests.encode({ service: "R", method: "Echo" })) });
  assert.equal((await peer.frame()).type, 2);
});

test("noise never does more than end the connection", async () => {
  for (let round = 0; round < 300; round++) {
    const peer = new Peer(() => Promise.resolve(Buffer.alloc(0)));
    const noise = randomBytes(1 + (round % 97));
    // Every other round the frame's own header is right, so that the noise gets further in.
    peer.socket.write(round % 2 === 0 ? noise : framesOf(1 + ((round >> 1) % 2), noise));
    await turn();
    peer.socket.destroy();
    await peer.connection.closed;
  }
});
