import assert from "node:assert/strict";
import { Readable } from "node:stream";
import test from "node:test";
import { terminalSizes, type TerminalSize } from "./terminal-size.ts";

async function sizesOf(...chunks: string[]): Promise<TerminalSize[]> {
  const sizes: TerminalSize[] = [];
  for await (const size of terminalSizes(Readable.from(chunks.map((chunk) => Buffer.from(chunk)))))
    sizes.push(size);
  return sizes;
}

test("sizes one after the other, cut anywhere", async () => {
  const two = '{"Width":80,"Height":24}\n{"width":120,"height":40}\n';
  const expected = [
    { width: 80, height: 24 },
    { width: 120, height: 40 },
  ];
  assert.deepEqual(await sizesOf(two), expected);
  assert.deepEqual(await sizesOf(...two.split("")), expected);
});

test("what is no size is passed over", async () => {
  const junk = [
    "{}",
    "null}",
    '{"Width":-1,"Height":4}',
    '{"Width":1.5,"Height":4}',
    '{"Width":70000,"Height":4}',
  ];
  assert.deepEqual(await sizesOf(...junk, '{"Width":"8","Height":4}', '{"Width":8,"Height":4}'), [
    { width: 8, height: 4 },
  ]);
});

test("a stream without any size is given up", async () => {
  await assert.rejects(sizesOf("{".repeat(2000)), /no terminal size/);
  await assert.rejects(sizesOf("}".repeat(101)), /no terminal size/);
  await assert.rejects(sizesOf("{}".repeat(101)), /no terminal size/);
});
