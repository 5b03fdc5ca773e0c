/**
 * A tar archive as a stream of chunks, read into entries and the places of their content in the chunk at hand.
 *
 *   header ─▶ [long names, pax headers]* ─▶ entry ─▶ content ─▶ padding ─▶ header … ─▶ two zero blocks
 *
 * Nothing is copied but what crosses the border of two chunks, and nothing is kept but extended headers, of 1 MiB at
 * most. What follows the end mark is ignored. Every refusal is a GantryError of kind invalid-argument.
 */
import { GantryError, wrapError } from "../../base/errors.ts";
import { type PaxRecords, parsePaxRecords } from "./pax-records.ts";
import { MAX_SPARSE_PIECES, SparseMapReader, checkSparsePieces } from "./sparse-map.ts";
import { type Extensions, type TarEntry, assembleEntry, displayName } from "./tar-entry.ts";
import {
  BLOCK_BYTES,
  type SparsePiece,
  type TarHeader,
  decodeTarHeader,
  isZeroBlock,
  readSparseEntries,
} from "./tar-header.ts";

/** Extended headers and long names, each. */
const MAX_EXTENSION_BYTES = 1 << 20;

/** Takes what is read. Offsets are in the chunk that `write` was called with. */
export interface TarSink {
  /** An entry without content, or a file whose whole content is in the chunk. */
  entry(entry: TarEntry, dataOffset: number): void;
  /** A file whose content comes in pieces, until `fileEnd`. */
  fileStart(entry: TarEntry): void;
  fileData(entry: TarEntry, dataOffset: number, dataLength: number, position: number): void;
  fileEnd(entry: TarEntry): void;
}

type State = "header" | "extension" | "sparse-headers" | "sparse-map" | "content" | "skip" | "end";

export class TarReader {
  readonly #sink: TarSink;
  #state: State = "header";
  /** A block that crosses the border of two chunks. */
  readonly #partial = Buffer.alloc(BLOCK_BYTES);
  #partialBytes = 0;
  #zeroBlocks = 0;
  #header: TarHeader | undefined;
  #entry: TarEntry | undefined;
  /** Bytes of content that are still to come, and of the padding after it. */
  #left = 0;
  #padding = 0;
  #extension: Buffer = Buffer.alloc(0);
  #extensionBytes = 0;
  #global = new Map<string, string>();
  #local: PaxRecords | undefined;
  #longName: string | undefined;
  #longLink: string | undefined;
  #pieces: readonly SparsePiece[] = [];
  #piece = 0;
  #pieceDone = 0;
  #sparseMap = new SparseMapReader();

  constructor(sink: TarSink) {
    this.#sink = sink;
  }

  /** @throws GantryError invalid-argument for a malformed archive; what the sink throws. */
  write(chunk: Buffer): void {
    for (let at = 0; at < chunk.length;) {
      if (this.#state === "end") return;
      else if (this.#state === "content") at += this.#content(chunk, at);
      else if (this.#state === "skip") at += this.#skip(chunk, at);
      else if (this.#state === "extension") at += this.#extend(chunk, at);
      else at = this.#block(chunk, at);
    }
  }

  /** The stream has ended. @throws GantryError invalid-argument when it ended within an entry. */
  end(): void {
    if (this.#state === "end") return;
    const between = this.#state === "header" || (this.#state === "skip" && this.#padding === 0);
    if (!between || this.#partialBytes > 0) throw this.#failure("archive ends within an entry");
    if (this.#local || this.#longName !== undefined || this.#longLink !== undefined) {
      throw this.#failure("archive ends after an extended header");
    }
  }

  #failure(message: string): GantryError {
    const name = this.#entry?.name ?? this.#header?.name;
    return new GantryError(
      "invalid-argument",
      name === undefined ? message : `entry ${displayName(name)}: ${message}`,
    );
  }

  /** Collects one block, in place where it does not cross a border. Returns the position after what was taken. */
  #block(chunk: Buffer, at: number): number {
    if (this.#partialBytes === 0 && chunk.length - at >= BLOCK_BYTES) {
      const end = at + BLOCK_BYTES;
      this.#takeBlock(chunk.subarray(at, end), chunk, end);
      return end;
    }
    const taken = Math.min(BLOCK_BYTES - this.#partialBytes, chunk.length - at);
    chunk.copy(this.#partial, this.#partialBytes, at, at + taken);
    this.#partialBytes += taken;
    if (this.#partialBytes === BLOCK_BYTES) {
      this.#partialBytes = 0;
      this.#takeBlock(this.#partial, chunk, at + taken);
    }
    return at + taken;
  }

  #takeBlock(block: Buffer, chunk: Buffer, after: number): void {
    if (this.#state === "sparse-headers") this.#takeSparseHeader(block, chunk, after);
    else if (this.#state === "sparse-map") this.#takeSparseMap(block);
    else this.#takeHeader(block, chunk, after);
  }

  #takeHeader(block: Buffer, chunk: Buffer, after: number): void {
    if (isZeroBlock(block)) {
      this.#zeroBlocks += 1;
      if (this.#zeroBlocks < 2) return;
      if (this.#local || this.#longName !== undefined || this.#longLink !== undefined) {
        throw this.#failure("archive ends after an extended header");
      }
      this.#state = "end";
      return;
    }
    if (this.#zeroBlocks > 0)
      throw new GantryError("invalid-argument", "tar archive: header after a zero block");
    const before = this.#entry ?? this.#header;
    let header: TarHeader;
    try {
      header = decodeTarHeader(block);
    } catch (error) {
      throw before ? wrapError(`after entry ${displayName(before.name)}`, error) : error;
    }
    this.#header = header;
    this.#entry = undefined;
    if ("xgXLK".includes(header.type)) {
      if (header.size > MAX_EXTENSION_BYTES) throw this.#failure(`extended header of ${header.size} bytes`);
      this.#extension = Buffer.allocUnsafe(header.size);
      this.#extensionBytes = 0;
      this.#padding = paddingOf(header.size);
      this.#state = "extension";
      if (header.size === 0) this.#takeExtension();
    } else if (header.type === "V") {
      // A volume label.
      this.#left = 0;
      this.#padding = header.size + paddingOf(header.size);
      this.#state = "skip";
    } else if (header.sparse?.extended) {
      this.#state = "sparse-headers";
    } else {
      this.#start(chunk, after);
    }
  }

  #extend(chunk: Buffer, at: number): number {
    const taken = Math.min(this.#extension.length - this.#extensionBytes, chunk.length - at);
    chunk.copy(this.#extension, this.#extensionBytes, at, at + taken);
    this.#extensionBytes += taken;
    if (this.#extensionBytes === this.#extension.length) this.#takeExtension();
    return taken;
  }

  #takeExtension(): void {
    const body = this.#extension;
    const type = this.#header?.type;
    this.#extension = Buffer.alloc(0);
    this.#left = 0;
    this.#state = "skip";
    if (type === "L" || type === "K") {
      const nul = body.indexOf(0);
      const text = body.toString("latin1", 0, nul < 0 ? body.length : nul);
      if (type === "L") this.#longName = text;
      else this.#longLink = text;
      return;
    }
    const records = parsePaxRecords(body);
    if (type !== "g") {
      this.#local = records;
      return;
    }
    let bytes = 0;
    for (const [key, value] of records.values) this.#global.set(key, value);
    for (const [key, value] of this.#global) bytes += key.length + value.length;
    if (bytes > MAX_EXTENSION_BYTES) throw this.#failure("global extended headers are too long");
  }

  #takeSparseHeader(block: Buffer, chunk: Buffer, after: number): void {
    const pieces = this.#header?.sparse?.pieces ?? [];
    readSparseEntries(block, 0, 21, pieces);
    if (pieces.length > MAX_SPARSE_PIECES) throw this.#failure("too many pieces of a sparse file");
    if (block[504] === 0) this.#start(chunk, after);
  }

  #takeSparseMap(block: Buffer): void {
    const map = this.#sparseMap.add(block);
    const entry = this.#entry;
    if (!entry) return;
    this.#left -= BLOCK_BYTES;
    if (!map) {
      if (this.#left < BLOCK_BYTES) throw this.#failure("sparse map is longer than the content");
      return;
    }
    this.#beginPieces(entry, map.pieces);
    this.#sink.fileStart(entry);
    this.#contentBegins(entry);
  }

  /** Header and extensions are complete: the entry begins, its content at `after`. */
  #start(chunk: Buffer, after: number): void {
    const header = this.#header;
    if (!header) return;
    const extensions: Extensions = {
      global: this.#global,
      local: this.#local,
      longName: this.#longName,
      longLink: this.#longLink,
    };
    this.#local = undefined;
    this.#longName = undefined;
    this.#longLink = undefined;
    const entry = assembleEntry(header, extensions);
    this.#entry = entry;
    this.#left = entry.storedSize;
    this.#padding = paddingOf(entry.storedSize);
    if (entry.sparse === "ahead") {
      if (entry.storedSize < BLOCK_BYTES) throw this.#failure("sparse map is longer than the content");
      this.#sparseMap = new SparseMapReader();
      this.#state = "sparse-map";
    } else if (entry.sparse) {
      this.#beginPieces(entry, entry.sparse);
      this.#sink.fileStart(entry);
      this.#contentBegins(entry);
    } else if (entry.type !== "file" || entry.storedSize <= chunk.length - after) {
      this.#sink.entry(entry, after);
      this.#padding += entry.storedSize;
      this.#left = 0;
      this.#state = "skip";
    } else {
      this.#pieces = [{ offset: 0, length: entry.size }];
      this.#piece = this.#pieceDone = 0;
      this.#sink.fileStart(entry);
      this.#contentBegins(entry);
    }
  }

  #beginPieces(entry: TarEntry, pieces: readonly SparsePiece[]): void {
    try {
      checkSparsePieces(pieces, entry.size, this.#left);
    } catch (error) {
      throw wrapError(`entry ${displayName(entry.name)}`, error);
    }
    this.#pieces = pieces;
    this.#piece = this.#pieceDone = 0;
  }

  #contentBegins(entry: TarEntry): void {
    this.#state = "content";
    if (this.#left === 0) this.#contentEnds(entry);
  }

  #contentEnds(entry: TarEntry): void {
    this.#sink.fileEnd(entry);
    this.#state = "skip";
  }

  #content(chunk: Buffer, at: number): number {
    const entry = this.#entry;
    let piece = this.#pieces[this.#piece];
    while (piece && this.#pieceDone === piece.length) {
      this.#piece += 1;
      this.#pieceDone = 0;
      piece = this.#pieces[this.#piece];
    }
    if (!entry || !piece) throw this.#failure("content beyond its map");
    const taken = Math.min(piece.length - this.#pieceDone, chunk.length - at);
    this.#sink.fileData(entry, at, taken, piece.offset + this.#pieceDone);
    this.#pieceDone += taken;
    this.#left -= taken;
    if (this.#left === 0) this.#contentEnds(entry);
    return taken;
  }

  #skip(chunk: Buffer, at: number): number {
    const taken = Math.min(this.#padding, chunk.length - at);
    this.#padding -= taken;
    if (this.#padding === 0) this.#state = "header";
    return taken;
  }
}

function paddingOf(size: number): number {
  return (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES;
}
