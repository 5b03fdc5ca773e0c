import assert from "node:assert/strict";
import { test } from "node:test";
import { Demultiplexer, framesOf, PLUGIN_SERVICE_STREAM, RUNTIME_SERVICE_STREAM } from "./mux.ts";

function collecting(): { streams: Demultiplexer; got: (stream: 1 | 2) => string } {
  const streams = new Demultiplexer();
  const bytes: Record<number, Buffer[]> = { 1: [], 2: [] };
  for (const stream of [1, 2]) streams.open(stream, (part) => bytes[stream]?.push(Buffer.from(part)));
  return { streams, got: (stream) => Buffer.concat(bytes[stream] ?? []).toString() };
}

test("a frame is its stream and its length, both big-endian, and its bytes", () => {
  assert.equal(
    framesOf(RUNTIME_SERVICE_STREAM, Buffer.from("abc")).toString("hex"),
    "0000000200000003616263",
  );
  assert.equal(framesOf(PLUGIN_SERVICE_STREAM, Buffer.alloc(0)).toString("hex"), "0000000100000000");
});

test("a long message is two frames: as much as a reader's buffer takes, and exactly the rest", () => {
  const message = Buffer.alloc(100_000, "x");
  const frames = framesOf(1, message);
  assert.equal(frames.readUInt32BE(4), 4096);
  assert.equal(frames.readUInt32BE(8 + 4096 + 4), 100_000 - 4096);
  assert.equal(frames.length, 100_000 + 16);
  const { streams, got } = collecting();
  streams.receive(frames);
  assert.equal(got(1), message.toString());
});

test("bytes reach their streams however they are cut", () => {
  const all = Buffer.concat([
    framesOf(1, Buffer.from("one ")),
    framesOf(2, Buffer.from("two")),
    framesOf(7, Buffer.from("nobody's")),
    framesOf(1, Buffer.alloc(0)),
    framesOf(1, Buffer.from("more")),
  ]);
  for (let size = 1; size <= all.length; size++) {
    const { streams, got } = collecting();
    for (let offset = 0; offset < all.length; offset += size)
      streams.receive(all.subarray(offset, offset + size));
    assert.equal(got(1), "one more");
    assert.equal(got(2), "two");
  }
});

test("stream 0 and giant frames are refused at their header", () => {
  for (const header of ["0000000000000001", "00000001ffffffff", "000000010040000b"])
    assert.throws(() => collecting().streams.receive(Buffer.from(header, "hex")), {
      kind: "invalid-argument",
    });
  // The largest: a ttrpc message of 4 MiB with its header.
  collecting().streams.receive(Buffer.from("000000010040000a", "hex"));
});
