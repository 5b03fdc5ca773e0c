/**
 * Frames and fields of the shim protocol as bytes. A decoder takes whatever pieces a socket delivers and yields
 * whole frames; nothing here knows what they mean.
 */
import { GantryError } from "../base/errors.ts";
import { FIELD, FIELD_HEADER_BYTES, FRAME_HEADER_BYTES, LIMIT } from "./protocol.ts";

export interface Frame {
  type: number;
  requestId: number;
  /** A view of the received bytes; good until the decoder's next push. */
  payload: Buffer;
}

/** A field to be sent: number is u32 (or i32), bigint is u64, undefined is left out. */
export type FieldValue = number | bigint | string | Uint8Array | undefined;
export type Fields = { [Name in keyof typeof FIELD]?: FieldValue };

function fieldBytes(value: Exclude<FieldValue, undefined>): Uint8Array {
  if (typeof value === "string") return Buffer.from(value);
  if (typeof value === "object") return value;
  const bytes = Buffer.allocUnsafe(typeof value === "bigint" ? 8 : 4);
  if (typeof value === "bigint") bytes.writeBigUInt64LE(value);
  else bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

function frameHeader(type: number, requestId: number, payloadBytes: number): Buffer {
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  header.writeUInt32LE(payloadBytes, 0);
  header.writeUInt16LE(type, 4);
  header.writeUInt32LE(requestId, 8);
  return header;
}

/** One frame of fields. */
export function encodeFrame(type: number, requestId: number, fields: Fields = {}): Buffer {
  const parts: Uint8Array[] = [];
  let length = 0;
  for (const [name, value] of Object.entries(fields) as [keyof typeof FIELD, FieldValue][]) {
    if (value === undefined) continue;
    const bytes = fieldBytes(value);
    const header = Buffer.alloc(FIELD_HEADER_BYTES);
    header.writeUInt16LE(FIELD[name], 0);
    header.writeUInt32LE(bytes.length, 4);
    parts.push(header, bytes);
    length += FIELD_HEADER_BYTES + bytes.length;
  }
  return Buffer.concat([frameHeader(type, requestId, length), ...parts], FRAME_HEADER_BYTES + length);
}

/** One or more frames of raw bytes, none above the limit. */
export function encodeData(type: number, requestId: number, data: Uint8Array): Buffer {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < data.length; at += LIMIT.FRAME) {
    const piece = data.subarray(at, at + LIMIT.FRAME);
    parts.push(frameHeader(type, requestId, piece.length), piece);
  }
  return Buffer.concat(parts);
}

/** The fields of a reply, by name. Unknown tags are skipped; a field of another width counts as absent. */
export class FieldReader {
  readonly #fields = new Map<number, Buffer>();

  /** @throws GantryError data-loss where the fields do not fill the payload exactly. */
  constructor(payload: Buffer) {
    let at = 0;
    while (at < payload.length) {
      if (payload.length - at < FIELD_HEADER_BYTES)
        throw new GantryError("data-loss", "shim protocol: field cut short");
      const length = payload.readUInt32LE(at + 4);
      if (length > payload.length - at - FIELD_HEADER_BYTES)
        throw new GantryError("data-loss", "shim protocol: field cut short");
      const start = at + FIELD_HEADER_BYTES;
      this.#fields.set(payload.readUInt16LE(at), Buffer.from(payload.subarray(start, start + length)));
      at = start + length;
    }
  }

  u32(name: keyof typeof FIELD): number | undefined {
    const bytes = this.#fields.get(FIELD[name]);
    return bytes?.length === 4 ? bytes.readUInt32LE() : undefined;
  }

  i32(name: keyof typeof FIELD): number | undefined {
    const value = this.u32(name);
    return value === undefined ? undefined : value | 0;
  }

  u64(name: keyof typeof FIELD): bigint | undefined {
    const bytes = this.#fields.get(FIELD[name]);
    return bytes?.length === 8 ? bytes.readBigUInt64LE() : undefined;
  }

  text(name: keyof typeof FIELD): string | undefined {
    return this.#fields.get(FIELD[name])?.toString();
  }
}

/** Whole frames from a byte stream. */
export class FrameDecoder {
  #rest: Buffer = Buffer.alloc(0);

  /**
   * The frames that are complete with these bytes. Memory is bounded by one frame and one chunk.
   *
   * @throws GantryError data-loss for a frame above the limit; the stream cannot be read on then.
   */
  push(chunk: Buffer): Frame[] {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const frames: Frame[] = [];
    let at = 0;
    while (bytes.length - at >= FRAME_HEADER_BYTES) {
      const length = bytes.readUInt32LE(at);
      if (length > LIMIT.FRAME) throw new GantryError("data-loss", `shim protocol: frame of ${length} bytes`);
      const end = at + FRAME_HEADER_BYTES + length;
      if (end > bytes.length) break;
      const payload = bytes.subarray(at + FRAME_HEADER_BYTES, end);
      frames.push({ type: bytes.readUInt16LE(at + 4), requestId: bytes.readUInt32LE(at + 8), payload });
      at = end;
    }
    this.#rest = bytes.subarray(at);
    return frames;
  }
}
