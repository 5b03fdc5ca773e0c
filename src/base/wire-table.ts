/**
 * One table for each binary format that TypeScript and C share: records with a number and fixed-width fields. From
 * the same table TypeScript encodes and decodes, and scripts/generate-native-headers.ts writes the C structs.
 *
 *   record: u16 code | u16 fixed | u32 length | fields … | variable data … | zeros up to a multiple of 8
 *
 * `fixed` is where the fields end, `length` the whole record, both counted from its start. Numbers are little
 * endian and naturally aligned. A field of variable size is an offset from the record's start and a length; what
 * it points at is followed by a NUL, so that C uses strings in place. A reader with another version of the table
 * takes missing fields as zero and ignores fields that it does not know.
 */
import { bytesOfText, textOfBytes } from "./byte-text.ts";
import { GantryError } from "./errors.ts";

/** "string": text without NUL, in UTF-8 or with the bytes that byte-text.ts gives it. "strings": a list of them. Offsets of these and of "bytes" are in C `wire_span`, `wire_list`. */
export type WireFieldType = "u32" | "i32" | "u64" | "i64" | "string" | "bytes" | "strings";

export interface WireRecordType {
  readonly code: number;
  readonly doc: string;
  readonly fields: Readonly<Record<string, readonly [type: WireFieldType, doc: string]>>;
}

export interface WireTable {
  /** Prefix of the C names: struct plan_mount, PLAN_MOUNT. */
  readonly name: string;
  readonly doc: string;
  readonly records: Readonly<Record<string, WireRecordType>>;
  /** Groups of named numbers: PLAN_LAUNCH_GATE_FIFO for group "launch", name "gateFifo". */
  readonly constants: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

interface FieldValues {
  u32: number;
  i32: number;
  u64: bigint;
  i64: bigint;
  string: string;
  bytes: Uint8Array;
  strings: readonly string[];
}

/** The values of a record's fields, as `encodeRecord` takes and `decodeRecord` gives them. */
export type WireValues<R extends WireRecordType> = {
  -readonly [K in keyof R["fields"]]: FieldValues[R["fields"][K][0]];
};

export const WIRE_HEADER_BYTES = 8;
const SIZES = { u32: 4, i32: 4, u64: 8, i64: 8, string: 8, bytes: 8, strings: 12 } as const;
const ALIGNMENTS = { u32: 4, i32: 4, u64: 8, i64: 8, string: 4, bytes: 4, strings: 4 } as const;

const alignUp = (offset: number, alignment: number): number => Math.ceil(offset / alignment) * alignment;

export interface WireLayout {
  fields: { name: string; type: WireFieldType; offset: number }[];
  /** Where the fields end, a multiple of 8. */
  fixedBytes: number;
}

const layouts = new WeakMap<WireRecordType, WireLayout>();

/** The offsets of a record's fields, as the C compiler lays the same struct out. */
export function wireLayout(record: WireRecordType): WireLayout {
  const known = layouts.get(record);
  if (known) return known;
  let offset = WIRE_HEADER_BYTES;
  const fields = Object.entries(record.fields).map(([name, [type]]) => {
    const at = alignUp(offset, ALIGNMENTS[type]);
    offset = at + SIZES[type];
    return { name, type, offset: at };
  });
  const layout = { fields, fixedBytes: alignUp(offset, 8) };
  layouts.set(record, layout);
  return layout;
}

/** A number that changes when anything of the table that matters to a reader changes. */
export function wireFingerprint(table: WireTable): number {
  const shape = Object.entries(table.records).map(([name, record]) => [
    name,
    record.code,
    wireLayout(record).fields.map((field) => [field.name, field.type, field.offset]),
  ]);
  return fowlerNollVo(JSON.stringify([table.name, shape, table.constants]));
}

/** FNV-1a of 32 bits: against mistakes, not against anybody. Loading a cryptographic library costs milliseconds. */
function fowlerNollVo(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}

function variableBytes(name: string, type: WireFieldType, value: unknown): Buffer {
  if (type === "bytes") return Buffer.concat([value as Uint8Array, Buffer.alloc(1)]);
  const texts = type === "string" ? [value as string] : (value as readonly string[]);
  for (const text of texts) {
    if (text.includes("\0")) throw new GantryError("invalid-argument", `${name} contains a NUL byte`);
  }
  return bytesOfText(texts.map((text) => `${text}\0`).join("") || "\0");
}

/** Encodes one record. @throws invalid-argument for a string with a NUL byte or a number out of its range. */
export function encodeRecord<R extends WireRecordType>(record: R, values: WireValues<R>): Buffer {
  const layout = wireLayout(record);
  const fixed = Buffer.alloc(layout.fixedBytes);
  const parts: Buffer[] = [fixed];
  let end = layout.fixedBytes;
  for (const { name, type, offset } of layout.fields) {
    const value: unknown = values[name];
    try {
      if (type === "u32") fixed.writeUInt32LE(value as number, offset);
      else if (type === "i32") fixed.writeInt32LE(value as number, offset);
      else if (type === "u64") fixed.writeBigUInt64LE(value as bigint, offset);
      else if (type === "i64") fixed.writeBigInt64LE(value as bigint, offset);
      else {
        const data = variableBytes(name, type, value);
        const count = type === "strings" ? (value as readonly string[]).length : 1;
        fixed.writeUInt32LE(end, offset);
        fixed.writeUInt32LE(count === 0 ? 0 : data.length - (type === "strings" ? 0 : 1), offset + 4);
        if (type === "strings") fixed.writeUInt32LE(count, offset + 8);
        parts.push(data);
        end += data.length;
      }
    } catch (error) {
      if (error instanceof GantryError) throw error;
      throw new GantryError("invalid-argument", `${name}: ${String(value)} is out of range`, {
        cause: error,
      });
    }
  }
  const length = alignUp(end, 8);
  parts.push(Buffer.alloc(length - end));
  fixed.writeUInt16LE(record.code, 0);
  fixed.writeUInt16LE(layout.fixedBytes, 2);
  fixed.writeUInt32LE(length, 4);
  return Buffer.concat(parts);
}

/** The code and the length of the record that starts at `offset`; undefined when its header is not there yet. */
export function peekRecord(bytes: Uint8Array, offset = 0): { code: number; length: number } | undefined {
  if (bytes.length - offset < WIRE_HEADER_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset);
  return { code: view.getUint16(0, true), length: view.getUint32(4, true) };
}

/** Decodes a whole record of known type. @throws data-loss when a length or an offset points outside of it. */
export function decodeRecord<R extends WireRecordType>(record: R, bytes: Uint8Array): WireValues<R> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const bad = (what: string): GantryError =>
    new GantryError("data-loss", `malformed record ${record.code}: ${what}`);
  if (buffer.length < WIRE_HEADER_BYTES || buffer.readUInt32LE(4) !== buffer.length) throw bad("length");
  const fixed = buffer.readUInt16LE(2);
  if (fixed < WIRE_HEADER_BYTES || fixed > buffer.length) throw bad("fixed size");
  const values: Record<string, unknown> = {};
  for (const { name, type, offset } of wireLayout(record).fields) {
    const present = offset + SIZES[type] <= fixed;
    if (type === "u32") values[name] = present ? buffer.readUInt32LE(offset) : 0;
    else if (type === "i32") values[name] = present ? buffer.readInt32LE(offset) : 0;
    else if (type === "u64") values[name] = present ? buffer.readBigUInt64LE(offset) : 0n;
    else if (type === "i64") values[name] = present ? buffer.readBigInt64LE(offset) : 0n;
    else {
      const start = present ? buffer.readUInt32LE(offset) : fixed;
      const length = present ? buffer.readUInt32LE(offset + 4) : 0;
      if (start < fixed || start + length > buffer.length) throw bad(name);
      const data = buffer.subarray(start, start + length);
      if (type === "bytes") values[name] = Uint8Array.from(data);
      else if (type === "string") values[name] = textOfBytes(data);
      else values[name] = length === 0 ? [] : textOfBytes(data).split("\0").slice(0, -1);
    }
  }
  return values as WireValues<R>;
}
