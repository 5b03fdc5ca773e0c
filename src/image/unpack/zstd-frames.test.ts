import assert from "node:assert/strict";
import { test } from "node:test";
import { constants, zstdCompressSync } from "node:zlib";
import { ZstdFrameSplitter } from "./zstd-frames.ts";

const SKIPPABLE = Buffer.from([0x5f, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
const EMPTY_SKIPPABLE = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]);

function frames(): Buffer[] {
  const bodies = [Buffer.alloc(0), Buffer.from("x"), Buffer.alloc(300_000, "abc"), Buffer.alloc(200_000)];
  for (let i = 0; i < 100_000; i++) bodies[3]?.writeUInt8((i * i * 31) % 251, i);
  return bodies.flatMap((body) => [
    zstdCompressSync(body),
    zstdCompressSync(body, { params: { [constants.ZSTD_c_checksumFlag]: 1 } }),
    zstdCompressSync(body, { params: { [constants.ZSTD_c_contentSizeFlag]: 0 } }),
  ]);
}

test("cuts at the end of each frame and nowhere else, skippable frames are taken out", () => {
  const expected = frames();
  const stream = Buffer.concat([
    SKIPPABLE,
    ...expected.flatMap((frame) => [frame, SKIPPABLE, EMPTY_SKIPPABLE]),
  ]);
  for (const size of [1, 3, 5, 1000, stream.length]) {
    const splitter = new ZstdFrameSplitter();
    const pieces: Buffer[] = [];
    for (let at = 0; at < stream.length; at += size)
      pieces.push(...splitter.split(stream.subarray(at, at + size)));
    assert.ok(splitter.complete);
    assert.ok(Buffer.concat(pieces).equals(Buffer.concat(expected)), String(size));
    const ends = new Set<number>();
    for (let at = 0, i = 0; i < pieces.length; i++) ends.add((at += pieces[i]?.length ?? 0));
    for (let at = 0, i = 0; i < expected.length; i++) {
      assert.ok(ends.has((at += expected[i]?.length ?? 0)), `end of frame ${i} in chunks of ${size}`);
    }
    if (size === stream.length) assert.equal(pieces.length, expected.length);
  }
});

test("knows when it is cut off, and what is no frame", () => {
  const splitter = new ZstdFrameSplitter();
  splitter.split(zstdCompressSync(Buffer.from("x")).subarray(0, 6));
  assert.equal(splitter.complete, false);
  assert.throws(() => new ZstdFrameSplitter().split(Buffer.from("garbage")), { kind: "invalid-argument" });
});
