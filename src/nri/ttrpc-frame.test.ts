import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeFrame, FrameDecoder, type TtrpcFrame } from "./ttrpc-frame.ts";

function decode(...chunks: Buffer[]): TtrpcFrame[] {
  const frames: TtrpcFrame[] = [];
  const decoder = new FrameDecoder((frame) => frames.push(frame));
  for (const chunk of chunks) decoder.receive(chunk);
  return frames;
}

test("a frame is length, stream, type and flags, and the message", () => {
  const bytes = encodeFrame({ streamId: 3, type: 1, flags: 1, payload: Buffer.from("hi") });
  assert.equal(bytes.toString("hex"), "000000020000000301016869");
  assert.deepEqual(decode(bytes), [{ streamId: 3, type: 1, flags: 1, payload: Buffer.from("hi") }]);
});

test("frames come whole however they are cut", () => {
  const sent = [0, 1, 5000, 0, 17].map((size, index) => ({
    streamId: 2 * index + 1,
    type: 2,
    flags: 0,
    payload: Buffer.alloc(size, index),
  }));
  const bytes = Buffer.concat(sent.map(encodeFrame));
  for (const size of [1, 2, 7, 9, 10, 11, 4096, bytes.length]) {
    const chunks: Buffer[] = [];
    for (let offset = 0; offset < bytes.length; offset += size)
      chunks.push(bytes.subarray(offset, offset + size));
    assert.deepEqual(decode(...chunks), sent, `in pieces of ${size}`);
  }
});

test("an announced length claims no memory, and one that is too long is refused", () => {
  const before = process.memoryUsage().arrayBuffers;
  const decoders = Array.from({ length: 64 }, () => new FrameDecoder(() => undefined));
  for (const decoder of decoders) decoder.receive(Buffer.from("00400000000000010200aa", "hex"));
  assert.ok(process.memoryUsage().arrayBuffers - before < 16 << 20);
  assert.throws(() => decode(Buffer.from("00400001000000010200", "hex")), { kind: "invalid-argument" });
});
