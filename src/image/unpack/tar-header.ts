/**
 * One 512-byte header block of a tar archive: v7, POSIX ustar (POSIX.1-2017, pax, "ustar Interchange Format") and GNU
 * (tar manual, "Basic Tar Format"). Text is kept as byte strings, one character for each byte.
 */
import { GantryError } from "../../base/errors.ts";

export const BLOCK_BYTES = 512;

/** A piece of a sparse file that is in the archive. */
export interface SparsePiece {
  offset: number;
  length: number;
}

export interface TarHeader {
  name: string;
  linkName: string;
  /** The type flag as a character; "\0" reads as "0". */
  type: string;
  mode: number;
  uid: number;
  gid: number;
  /** Bytes of content that follow in the archive. */
  size: number;
  mtimeSeconds: number;
  major: number;
  minor: number;
  /** Only of type "S": the old GNU sparse format. */
  sparse: { pieces: SparsePiece[]; extended: boolean; realSize: number } | undefined;
}

const NAME = 0;
const MODE = 100;
const UID = 108;
const GID = 116;
const SIZE = 124;
const MTIME = 136;
const CHECKSUM = 148;
const TYPE = 156;
const LINK_NAME = 157;
const MAGIC = 257;
const MAJOR = 329;
const MINOR = 337;
const PREFIX = 345;
const GNU_SPARSE = 386;
const GNU_EXTENDED = 482;
const GNU_REAL_SIZE = 483;
const SPARSE_ENTRY_BYTES = 24;

function malformed(message: string): GantryError {
  return new GantryError("invalid-argument", message);
}

/** The bytes up to the first NUL. */
function text(block: Buffer, at: number, length: number): string {
  const nul = block.indexOf(0, at);
  return block.toString("latin1", at, nul < 0 || nul > at + length ? at + length : nul);
}

/** Big-endian two's complement after the mark in the first byte (GNU tar manual, "Extensions"). */
function base256(block: Buffer, at: number, length: number, field: string): number {
  const first = block[at] ?? 0;
  let value = first === 0xff ? -1 : first & 0x7f;
  for (let i = at + 1; i < at + length; i++) {
    value = value * 256 + (block[i] ?? 0);
    if (!Number.isSafeInteger(value)) throw malformed(`tar header: ${field} is out of range`);
  }
  return value;
}

/** @throws GantryError invalid-argument for what is no number of at most 53 bits. */
function number(block: Buffer, at: number, length: number, field: string): number {
  if ((block[at] ?? 0) & 0x80) return base256(block, at, length, field);
  let i = at;
  const end = at + length;
  while (i < end && (block[i] === 0x20 || block[i] === 0)) i += 1;
  let value = 0;
  for (; i < end; i++) {
    const digit = (block[i] ?? 0) - 0x30;
    if (digit >= 0 && digit <= 7) value = value * 8 + digit;
    else if (block[i] === 0 || block[i] === 0x20) break;
    else throw malformed(`tar header: ${field} is not a number`);
  }
  return value;
}

function count(block: Buffer, at: number, length: number, field: string): number {
  const value = number(block, at, length, field);
  if (value < 0) throw malformed(`tar header: ${field} is negative`);
  return value;
}

/** Whether the block is the end mark's: all zero. */
export function isZeroBlock(block: Buffer): boolean {
  if (block[0] !== 0) return false;
  for (let i = 0; i < BLOCK_BYTES; i++) if (block[i] !== 0) return false;
  return true;
}

/** Old archives summed signed bytes, so both sums count. */
function verifyChecksum(block: Buffer): void {
  let unsigned = 8 * 0x20;
  let high = 0;
  for (let i = 0; i < BLOCK_BYTES; i++) {
    if (i >= CHECKSUM && i < CHECKSUM + 8) continue;
    const byte = block[i] ?? 0;
    unsigned += byte;
    high += byte >> 7;
  }
  const stored = number(block, CHECKSUM, 8, "checksum");
  if (stored !== unsigned && stored !== unsigned - high * 256) throw malformed("tar header: wrong checksum");
}

/** Appends the used ones of `slots` sparse entries. */
export function readSparseEntries(block: Buffer, at: number, slots: number, pieces: SparsePiece[]): void {
  for (let i = 0; i < slots; i++) {
    const start = at + i * SPARSE_ENTRY_BYTES;
    if (block[start] === 0) return;
    pieces.push({
      offset: count(block, start, 12, "sparse offset"),
      length: count(block, start + 12, 12, "sparse length"),
    });
  }
}

/**
 * Decodes a header block.
 *
 * @throws GantryError invalid-argument for a wrong checksum or field.
 */
export function decodeTarHeader(block: Buffer): TarHeader {
  verifyChecksum(block);
  const magic = block.toString("latin1", MAGIC, MAGIC + 8);
  const type = block[TYPE] === 0 ? "0" : block.toString("latin1", TYPE, TYPE + 1);
  let name = text(block, NAME, 100);
  if (magic.startsWith("ustar\0")) {
    const prefix = text(block, PREFIX, 155);
    if (prefix) name = `${prefix}/${name}`;
  }
  const isDevice = type === "3" || type === "4";
  const header: TarHeader = {
    name,
    linkName: text(block, LINK_NAME, 100),
    type,
    mode: count(block, MODE, 8, "mode"),
    uid: count(block, UID, 8, "uid"),
    gid: count(block, GID, 8, "gid"),
    size: count(block, SIZE, 12, "size"),
    mtimeSeconds: number(block, MTIME, 12, "mtime"),
    major: isDevice ? count(block, MAJOR, 8, "major device number") : 0,
    minor: isDevice ? count(block, MINOR, 8, "minor device number") : 0,
    sparse: undefined,
  };
  if (type === "S") {
    const pieces: SparsePiece[] = [];
    readSparseEntries(block, GNU_SPARSE, 4, pieces);
    const realSize = count(block, GNU_REAL_SIZE, 12, "real size");
    header.sparse = { pieces, extended: block[GNU_EXTENDED] !== 0, realSize };
  }
  return header;
}
