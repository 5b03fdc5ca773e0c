import assert from "node:assert/strict";
import test from "node:test";
import { constants, createDeflate, createInflate, type Deflate, deflateSync } from "node:zlib";
import { SPDY_DICTIONARY, SPDY_DICTIONARY_ID } from "./spdy-dictionary.ts";
import { SpdyHeaderReader, SpdyHeaderWriter } from "./spdy-headers.ts";

/** A client's compression: one context for all blocks. */
class ClientCompression {
  readonly #deflate: Deflate = createDeflate({ dictionary: SPDY_DICTIONARY });

  async block(content: Buffer): Promise<Buffer> {
    const chunks: Buffer[] = [];
    const gather = (chunk: Buffer): number => chunks.push(chunk);
    this.#deflate.on("data", gather);
    this.#deflate.write(content);
    await new Promise<void>((resolve) => this.#deflate.flush(constants.Z_SYNC_FLUSH, () => resolve()));
    this.#deflate.off("data", gather);
    return Buffer.concat(chunks);
  }
}

function pairs(...texts: string[]): Buffer {
  const parts: Buffer[] = [uint32(texts.length / 2)];
  for (const text of texts) parts.push(uint32(text.length), Buffer.from(text, "latin1"));
  return Buffer.concat(parts);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

test("the dictionary is the protocol's, by its checksum", () => {
  let [low, high] = [1, 0];
  for (const byte of SPDY_DICTIONARY) {
    low = (low + byte) % 65_521;
    high = (high + low) % 65_521;
  }
  assert.equal(high * 65_536 + low, SPDY_DICTIONARY_ID);
});

test("blocks of one client are read in turn", async () => {
  const client = new ClientCompression();
  const reader = new SpdyHeaderReader();
  for (const type of ["error", "stdin", "stdout"]) {
    const headers = await reader.read(await client.block(pairs("StreamType", type, "port", "80")));
    assert.deepEqual(
      [...headers],
      [
        ["streamtype", type],
        ["port", "80"],
      ],
    );
  }
  reader.close();
});

test("what we write is read by zlib with the dictionary", async () => {
  const writer = new SpdyHeaderWriter();
  const inflate = createInflate({ dictionary: SPDY_DICTIONARY });
  const chunks: Buffer[] = [];
  inflate.on("data", (chunk: Buffer) => chunks.push(chunk));
  for (const headers of [new Map([["a", "b"]]), new Map<string, string>()])
    await new Promise<void>((resolve, reject) =>
      inflate.write(writer.block(headers), (error) => (error ? reject(error) : resolve())),
    );
  assert.deepEqual(Buffer.concat(chunks), Buffer.concat([pairs("a", "b"), pairs()]));
});

test("a block that inflates without bound is given up", async () => {
  const reader = new SpdyHeaderReader();
  const bomb = await new ClientCompression().block(Buffer.alloc(50 * 1024 * 1024));
  assert.ok(bomb.length < 64 * 1024);
  await assert.rejects(reader.read(bomb), /header block too large/);
});

test("malformed blocks are refused", async () => {
  const cases: [Buffer, RegExp][] = [
    [pairs("a", "1", "a", "2"), /comes twice/],
    [pairs("a", "1", "A", "2"), /comes twice/],
    [uint32(3), /cut short/],
    [Buffer.concat([uint32(1), uint32(0xffff_ffff)]), /cut short/],
    [uint32(0xffff_ffff), /headers in one block/],
    [Buffer.alloc(2), /cut short/],
  ];
  for (const [content, message] of cases)
    await assert.rejects(new SpdyHeaderReader().read(await new ClientCompression().block(content)), message);
  await assert.rejects(new SpdyHeaderReader().read(Buffer.from("no zlib at all")), /header block/);
});

test("compressed data that ends is refused, then and later", async () => {
  const ended = deflateSync(pairs("a", "b"), { dictionary: SPDY_DICTIONARY });
  await assert.rejects(new SpdyHeaderReader().read(Buffer.concat([ended, Buffer.from("more")])), /has ended/);
  const reader = new SpdyHeaderReader();
  await reader.read(ended).catch(() => undefined);
  await assert.rejects(reader.read(Buffer.from("more")), /header block|has ended|destroyed/);
});
