/**
 * Header blocks of SPDY/3: names and values, compressed with one zlib context for each direction of a connection.
 *
 * What a client sends is inflated only up to a bound, so that a small block cannot become a large one. What we send is
 * stored uncompressed in a valid zlib stream: our replies have hardly any headers, and so no state to keep.
 */
import { createInflate, type Inflate } from "node:zlib";
import { GantryError } from "../../base/errors.ts";
import { SPDY_DICTIONARY, SPDY_DICTIONARY_ID } from "./spdy-dictionary.ts";

/** Of one block, inflated. What is used has some hundred bytes. */
export const MAX_HEADER_BYTES = 64 * 1024;
const MAX_HEADERS = 100;
/** zlib's header: deflate, 32 KiB window, with a dictionary. */
const ZLIB_HEADER = [0x78, 0x20];

/** An empty stored block, at which some inflaters give out what they have. */
const SYNC_FLUSH = [0x00, 0x00, 0x00, 0xff, 0xff];

export type SpdyHeaders = ReadonlyMap<string, string>;

function malformed(what: string): GantryError {
  return new GantryError("invalid-argument", `spdy: ${what}`);
}

/** Inflates the blocks of one direction; they must come in their order, one at a time. */
export class SpdyHeaderReader {
  readonly #inflate: Inflate = createInflate({ dictionary: SPDY_DICTIONARY });
  #failed: ((error: unknown) => void) | undefined;
  #chunks: Buffer[] = [];
  #length = 0;

  constructor() {
    this.#inflate.on("data", (chunk: Buffer) => {
      this.#length += chunk.length;
      if (this.#length > MAX_HEADER_BYTES) this.close(malformed("header block too large"));
      else this.#chunks.push(chunk);
    });
    // Of what follows the end of the compressed data zlib takes nothing, and says nothing.
    this.#inflate.on("end", () => this.close(malformed("header compression has ended")));
    this.#inflate.on("error", (error) => this.#failed?.(malformed(`header block: ${error.message}`)));
  }

  /** @throws GantryError invalid-argument; nothing can be read on then. */
  async read(block: Uint8Array): Promise<SpdyHeaders> {
    this.#chunks = [];
    this.#length = 0;
    await new Promise<void>((resolve, reject) => {
      this.#failed = reject;
      this.#inflate.write(block, (error) => (error ? reject(malformed(error.message)) : resolve()));
    });
    this.#failed = undefined;
    return parseHeaders(Buffer.concat(this.#chunks));
  }

  /** Frees zlib's memory; a read under way rejects. */
  close(reason: unknown = malformed("closed")): void {
    this.#failed?.(reason);
    this.#inflate.destroy();
  }
}

function parseHeaders(bytes: Buffer): SpdyHeaders {
  let at = 0;
  const number = (): number => {
    if (bytes.length - at < 4) throw malformed("header block cut short");
    at += 4;
    return bytes.readUInt32BE(at - 4);
  };
  const text = (): string => {
    const length = number();
    if (length > bytes.length - at) throw malformed("header block cut short");
    at += length;
    return bytes.toString("latin1", at - length, at);
  };
  const headers = new Map<string, string>();
  const count = number();
  if (count > MAX_HEADERS) throw malformed(`${count} headers in one block`);
  for (let index = 0; index < count; index++) {
    const name = text().toLowerCase();
    if (headers.has(name)) throw malformed("a header comes twice in one block");
    headers.set(name, text());
  }
  return headers;
}

/** Makes the blocks of one direction, in their order. */
export class SpdyHeaderWriter {
  #started = false;

  block(headers: SpdyHeaders = new Map()): Buffer {
    const parts: Buffer[] = [uint32(headers.size)];
    for (const pair of headers)
      for (const text of pair) {
        const bytes = Buffer.from(text, "latin1");
        parts.push(uint32(bytes.length), bytes);
      }
    const content = Buffer.concat(parts);
    if (content.length > 0xffff) throw malformed("header block too large");
    const prefix = Buffer.alloc(5);
    prefix.writeUInt16LE(content.length, 1);
    prefix.writeUInt16LE(~content.length & 0xffff, 3);
    const start = this.#started ? [] : [Buffer.from(ZLIB_HEADER), uint32(SPDY_DICTIONARY_ID)];
    this.#started = true;
    return Buffer.concat([...start, prefix, content, Buffer.from(SYNC_FLUSH)]);
  }
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
