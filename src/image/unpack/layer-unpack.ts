/**
 * The unpacking of one layer, as it runs in a worker: blocks of the blob go in, the digests come out, the files are
 * made on the way. Decompression runs in the thread pool while this thread hashes and writes what came before.
 */
import { type Hash, createHash } from "node:crypto";
import { closeSync, fsync, openSync, rmSync, writeSync } from "node:fs";
import { promisify } from "node:util";
import type { Duplex } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { type ErrorKind, GantryError, errorKind, errorMessage } from "../../base/errors.ts";
import type { Digest } from "../../base/digest.ts";
import type { Usage } from "../../snapshotter/snapshotter.ts";
import { directoryUsage } from "../../native/files.ts";
import { LayerWriter } from "./layer-writer.ts";
import { TarReader } from "./tar-reader.ts";
import type { Compression } from "./unpack-contract.ts";
import { ZstdFrameSplitter } from "./zstd-frames.ts";

/** What the worker needs of an UnpackRequest; all of it can be sent. */
export interface LayerUnpackRequest {
  compression: Compression;
  directory: string;
  whiteouts: "overlay" | "oci";
  expectedBlobDigest: Digest;
  expectedSizeBytes: number;
  expectedDiffId: Digest;
  keepBlob: string | undefined;
}

/** Larger pieces cost cache misses, smaller ones calls. */
const PIECE_BYTES = 256 * 1024;
/** How far decompression may be ahead. */
const AHEAD_BYTES = 1024 * 1024;

/** By the first bytes: gzip (RFC 1952), zstd and its skippable frames (RFC 8878). */
export function detectCompression(start: Uint8Array): "gzip" | "zstd" | "none" {
  const [a, b, c, d] = start;
  if (a === 0x1f && b === 0x8b) return "gzip";
  if (a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd) return "zstd";
  if (a !== undefined && (a & 0xf0) === 0x50 && b === 0x2a && c === 0x4d && d === 0x18) return "zstd";
  return "none";
}

function decompressor(compression: "gzip" | "zstd"): Duplex {
  const options = { chunkSize: PIECE_BYTES, readableHighWaterMark: AHEAD_BYTES };
  return compression === "gzip" ? createGunzip(options) : createZstdDecompress(options);
}

/** A full disk under one of our own files. */
function kindOfFileError(error: unknown): ErrorKind {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ENOSPC" || code === "EDQUOT" ? "resource-exhausted" : errorKind(error);
}

export class LayerUnpack {
  readonly #request: LayerUnpackRequest;
  readonly #writer: LayerWriter;
  readonly #reader: TarReader;
  readonly #blobHash: Hash = createHash("sha256");
  readonly #diffHash: Hash = createHash("sha256");
  #blobBytes = 0;
  #blobFile: number | undefined;
  #stream: Duplex | undefined;
  #plain = false;
  /** Only for zstd. */
  #frames: ZstdFrameSplitter | undefined;
  /** Resolves when all that was decompressed has been unpacked. */
  #unpacked: Promise<void> = Promise.resolve();
  #streamEnded = false;
  /** What is wrong with the archive; the blob is still read to its end, since its digest may explain it. */
  #failure: Error | undefined;

  constructor(request: LayerUnpackRequest) {
    this.#request = request;
    this.#writer = new LayerWriter(request.directory, request.whiteouts);
    this.#reader = new TarReader(this.#writer);
    if (request.keepBlob !== undefined) this.#blobFile = openSync(request.keepBlob, "wx", 0o600);
  }

  /**
   * Takes one block of the blob, which is free again when the promise resolves.
   *
   * @throws GantryError; after that only `close` may be called.
   */
  async write(block: Buffer): Promise<void> {
    this.#blobBytes += block.length;
    if (this.#blobBytes > this.#request.expectedSizeBytes) {
      throw new GantryError("data-loss", `blob is larger than its ${this.#request.expectedSizeBytes} bytes`);
    }
    this.#blobHash.update(block);
    if (this.#blobFile !== undefined) this.#keep(this.#blobFile, block);
    if (!this.#stream && !this.#plain) this.#begin(block);
    if (this.#failure === undefined) await this.#decompress(block);
    this.#rethrowOurs();
  }

  /** The blob is complete. @throws GantryError as Unpacker.unpack does. */
  async finish(): Promise<{ blobDigest: Digest; diffId: Digest; usage: Usage }> {
    const { expectedBlobDigest, expectedSizeBytes, expectedDiffId, directory } = this.#request;
    if (this.#stream && this.#failure === undefined) this.#stream.end();
    await this.#unpacked;
    this.#rethrowOurs();
    if (this.#blobBytes !== expectedSizeBytes) {
      throw this.#loss(`blob has ${this.#blobBytes} bytes instead of ${expectedSizeBytes}`);
    }
    const blobDigest = `sha256:${this.#blobHash.digest("hex")}` as Digest;
    if (blobDigest !== expectedBlobDigest) throw this.#loss(`blob has the digest ${blobDigest}`);
    if (this.#frames?.complete === false)
      this.#failure ??= new GantryError("invalid-argument", "zstd: cut off");
    this.#attempt(() => this.#reader.end());
    if (this.#failure !== undefined) throw this.#failure;
    const diffId = `sha256:${this.#diffHash.digest("hex")}` as Digest;
    if (diffId !== expectedDiffId)
      throw this.#loss(`content has the digest ${diffId} instead of ${expectedDiffId}`);
    this.#writer.finish();
    if (this.#blobFile !== undefined) await this.#syncBlob(this.#blobFile);
    const usage = await directoryUsage(directory);
    return { blobDigest, diffId, usage };
  }

  /** Stops all work on the directory; what was kept of an incomplete blob is deleted. Idempotent. */
  async close(): Promise<void> {
    this.#failure ??= new GantryError("cancelled", "unpacking was stopped");
    this.#stream?.destroy();
    await this.#unpacked;
    this.#writer.close();
    if (this.#blobFile !== undefined) closeSync(this.#blobFile);
    this.#blobFile = undefined;
    if (this.#request.keepBlob !== undefined) rmSync(this.#request.keepBlob, { force: true });
  }

  #begin(block: Buffer): void {
    const { compression } = this.#request;
    const actual = compression === "auto" ? detectCompression(block) : compression;
    if (actual === "none") {
      this.#plain = true;
      return;
    }
    if (actual === "zstd") this.#frames = new ZstdFrameSplitter();
    const stream = decompressor(actual);
    this.#stream = stream;
    this.#unpacked = this.#drain(stream);
  }

  async #decompress(block: Buffer): Promise<void> {
    if (this.#plain) return this.#take(block);
    let pieces = [block];
    this.#attempt(() => (pieces = this.#frames?.split(block) ?? pieces));
    for (const piece of pieces) await this.#feed(piece);
  }

  /** Resolves when the decompressor has taken it all in, or wants no more. */
  async #feed(piece: Buffer): Promise<void> {
    const stream = this.#stream;
    if (!stream || this.#streamEnded || stream.destroyed || this.#failure !== undefined) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const taken = (): void => resolve();
    stream.once("close", taken);
    stream.write(piece, taken);
    await promise;
    stream.off("close", taken);
  }

  async #drain(stream: Duplex): Promise<void> {
    stream.on("end", () => (this.#streamEnded = true));
    try {
      for await (const piece of stream) {
        this.#take(piece as Buffer);
        if (this.#failure !== undefined) break;
      }
    } catch (error) {
      this.#failure ??= new GantryError("invalid-argument", `decompression: ${errorMessage(error)}`, {
        cause: error,
      });
    } finally {
      this.#streamEnded = true;
      stream.on("error", () => undefined);
      stream.destroy();
    }
  }

  #take(piece: Buffer): void {
    if (this.#failure !== undefined) return;
    this.#diffHash.update(piece);
    this.#attempt(() => {
      this.#reader.write(piece);
      this.#writer.flush(piece);
    });
  }

  #attempt(work: () => void): void {
    if (this.#failure !== undefined) return;
    try {
      work();
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error(String(error));
    }
  }

  /** A failure that is not the archive's, as a full disk, ends the work at once. */
  #rethrowOurs(): void {
    if (this.#failure !== undefined && errorKind(this.#failure) !== "invalid-argument") throw this.#failure;
  }

  #loss(message: string): GantryError {
    const seen = this.#failure === undefined ? "" : ` (${errorMessage(this.#failure)})`;
    return new GantryError("data-loss", message + seen, { cause: this.#failure });
  }

  #keep(file: number, block: Buffer): void {
    try {
      for (let at = 0; at < block.length;) at += writeSync(file, block, at, block.length - at);
    } catch (error) {
      throw new GantryError(kindOfFileError(error), `blob file: ${errorMessage(error)}`, { cause: error });
    }
  }

  async #syncBlob(file: number): Promise<void> {
    this.#blobFile = undefined;
    try {
      await promisify(fsync)(file);
    } finally {
      closeSync(file);
    }
  }
}
