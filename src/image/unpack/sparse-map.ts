/**
 * The maps of sparse files (GNU tar manual, "Storing Sparse Files"): which pieces of the file are in the archive. Formats
 * 0.0 and 0.1 have the map in the pax header, 1.0 at the start of the content, the old one in header blocks.
 */
import { GantryError } from "../../base/errors.ts";
import { paxCount } from "./pax-records.ts";
import { BLOCK_BYTES, type SparsePiece } from "./tar-header.ts";

/** Pieces of one file; more are refused, so that a map cannot fill the memory. */
export const MAX_SPARSE_PIECES = 1 << 17;
const MAX_MAP_BYTES = 4 << 20;

function malformed(message: string): GantryError {
  return new GantryError("invalid-argument", `sparse file: ${message}`);
}

/** "offset,length,offset,length": GNU.sparse.map of format 0.1. */
export function parseSparseMap(text: string): SparsePiece[] {
  const numbers = text === "" ? [] : text.split(",");
  if (numbers.length % 2 !== 0) throw malformed("odd map");
  const pieces: SparsePiece[] = [];
  for (let i = 0; i < numbers.length; i += 2) {
    const offset = paxCount(numbers[i] ?? "", "GNU.sparse.map");
    pieces.push({ offset, length: paxCount(numbers[i + 1] ?? "", "GNU.sparse.map") });
  }
  return pieces;
}

/**
 * @param stored bytes of content in the archive.
 * @throws GantryError invalid-argument when pieces overlap, leave the file, or do not add up.
 */
export function checkSparsePieces(pieces: readonly SparsePiece[], realSize: number, stored: number): void {
  if (pieces.length > MAX_SPARSE_PIECES) throw malformed("too many pieces");
  let end = 0;
  let sum = 0;
  for (const piece of pieces) {
    if (piece.offset < end || piece.offset + piece.length > realSize)
      throw malformed("piece out of order or of range");
    end = piece.offset + piece.length;
    sum += piece.length;
  }
  if (sum !== stored) throw malformed(`map of ${sum} bytes for a content of ${stored}`);
}

/** Reads the map of format 1.0 from the blocks at the start of the content. */
export class SparseMapReader {
  readonly #blocks: string[] = [];
  #lines = 0;
  #count: number | undefined;

  /** Takes one block; the map, and its bytes in the archive, when it is complete. */
  add(block: Buffer): { pieces: SparsePiece[]; bytes: number } | undefined {
    this.#blocks.push(block.toString("latin1", 0, BLOCK_BYTES));
    const bytes = this.#blocks.length * BLOCK_BYTES;
    if (bytes > MAX_MAP_BYTES) throw malformed("map is too long");
    for (let at = block.indexOf(0x0a); at >= 0; at = block.indexOf(0x0a, at + 1)) this.#lines += 1;
    if (this.#count === undefined) {
      const first = this.#blocks[0] ?? "";
      if (!first.includes("\n")) throw malformed("map without a count");
      this.#count = paxCount(first.slice(0, first.indexOf("\n")), "sparse map");
      if (this.#count > MAX_SPARSE_PIECES) throw malformed("too many pieces");
    }
    if (this.#lines < this.#count * 2 + 1) return undefined;
    const lines = this.#blocks.join("").split("\n");
    const pieces: SparsePiece[] = [];
    for (let i = 0; i < this.#count; i++) {
      const offset = paxCount(lines[1 + i * 2] ?? "", "sparse map");
      pieces.push({ offset, length: paxCount(lines[2 + i * 2] ?? "", "sparse map") });
    }
    return { pieces, bytes };
  }
}
