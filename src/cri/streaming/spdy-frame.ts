/**
 * The frames of SPDY/3.1 as bytes (draft 3.1, section 2.2). A decoder takes whatever pieces the socket delivers. It
 * gives control frames whole and data as it comes: no frame, however large, is gathered.
 */
import { GantryError } from "../../base/errors.ts";

export const SPDY_FRAME = {
  SYN_STREAM: 1,
  SYN_REPLY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PING: 6,
  GOAWAY: 7,
  HEADERS: 8,
  WINDOW_UPDATE: 9,
} as const;

/** Status of RST_STREAM. */
export const SPDY_RESET = { PROTOCOL_ERROR: 1, REFUSED_STREAM: 3, CANCEL: 5 } as const;

export const FLAG_FIN = 1;
/** SETTINGS_INITIAL_WINDOW_SIZE. */
export const SETTING_INITIAL_WINDOW = 7;

/** A control frame's payload; what clients send has some hundred bytes. */
export const MAX_CONTROL_BYTES = 64 * 1024;
const HEADER_BYTES = 8;
const VERSION = 3;

export type SpdyFrame =
  /** A piece of a data frame; `fin` with its last. */
  | { type: "data"; streamId: number; bytes: Buffer; fin: boolean }
  | { type: "syn-stream"; streamId: number; fin: boolean; block: Buffer }
  /** SYN_REPLY or HEADERS: to be inflated, lest the context be lost, and otherwise of no use to a server. */
  | { type: "headers"; streamId: number; fin: boolean; block: Buffer }
  | { type: "reset"; streamId: number }
  | { type: "settings"; initialWindow: number | undefined }
  | { type: "ping"; id: number }
  | { type: "goaway" }
  | { type: "window-update"; streamId: number; delta: number };

function malformed(what: string): GantryError {
  return new GantryError("invalid-argument", `spdy: ${what}`);
}

export class SpdyDecoder {
  #rest: Buffer = Buffer.alloc(0);
  /** The data frame whose payload is being read. */
  #data: { streamId: number; left: number; fin: boolean } | undefined;

  /** What these bytes complete. @throws GantryError invalid-argument; the connection cannot be read on then. */
  push(chunk: Buffer): SpdyFrame[] {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const frames: SpdyFrame[] = [];
    for (;;) {
      if (this.#data) {
        const piece = bytes.subarray(0, this.#data.left);
        if (piece.length === 0 && this.#data.left > 0) break;
        bytes = bytes.subarray(piece.length);
        this.#data.left -= piece.length;
        const fin = this.#data.fin && this.#data.left === 0;
        frames.push({ type: "data", streamId: this.#data.streamId, bytes: piece, fin });
        if (this.#data.left === 0) this.#data = undefined;
        continue;
      }
      if (bytes.length < HEADER_BYTES) break;
      const first = bytes.readUInt32BE(0);
      const flags = bytes.readUInt8(4);
      const length = bytes.readUIntBE(5, 3);
      if (first < 0x8000_0000) {
        this.#data = { streamId: first, left: length, fin: (flags & FLAG_FIN) !== 0 };
        bytes = bytes.subarray(HEADER_BYTES);
        continue;
      }
      if (length > MAX_CONTROL_BYTES) throw malformed(`control frame of ${length} bytes`);
      if (bytes.length < HEADER_BYTES + length) break;
      if (((first >>> 16) & 0x7fff) !== VERSION) throw malformed("not version 3");
      const frame = control(first & 0xffff, flags, bytes.subarray(HEADER_BYTES, HEADER_BYTES + length));
      if (frame) frames.push(frame);
      bytes = bytes.subarray(HEADER_BYTES + length);
    }
    this.#rest = bytes;
    return frames;
  }
}

/** Undefined for a type that is not known, which is to be skipped. */
function control(type: number, flags: number, payload: Buffer): SpdyFrame | undefined {
  const fin = (flags & FLAG_FIN) !== 0;
  const need = (length: number): void => {
    if (payload.length < length) throw malformed(`control frame of type ${type} cut short`);
  };
  const streamId = (): number => payload.readUInt32BE(0) & 0x7fff_ffff;
  switch (type) {
    case SPDY_FRAME.SYN_STREAM:
      need(10);
      return { type: "syn-stream", streamId: streamId(), fin, block: payload.subarray(10) };
    case SPDY_FRAME.SYN_REPLY:
    case SPDY_FRAME.HEADERS:
      need(4);
      return { type: "headers", streamId: streamId(), fin, block: payload.subarray(4) };
    case SPDY_FRAME.RST_STREAM:
      need(8);
      return { type: "reset", streamId: streamId() };
    case SPDY_FRAME.SETTINGS:
      return { type: "settings", initialWindow: initialWindow(payload) };
    case SPDY_FRAME.PING:
      need(4);
      return { type: "ping", id: payload.readUInt32BE(0) };
    case SPDY_FRAME.GOAWAY:
      return { type: "goaway" };
    case SPDY_FRAME.WINDOW_UPDATE:
      need(8);
      return {
        type: "window-update",
        streamId: streamId(),
        delta: payload.readUInt32BE(4) & 0x7fff_ffff,
      };
    default:
      return undefined;
  }
}

function initialWindow(payload: Buffer): number | undefined {
  let value: number | undefined;
  for (let at = 4; at + 8 <= payload.length; at += 8)
    if (payload.readUIntBE(at + 1, 3) === SETTING_INITIAL_WINDOW) value = payload.readUInt32BE(at + 4);
  return value;
}

export function controlFrame(type: number, payload: Uint8Array, flags = 0): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16BE(0x8000 | VERSION, 0);
  header.writeUInt16BE(type, 2);
  header.writeUInt8(flags, 4);
  header.writeUIntBE(payload.length, 5, 3);
  return Buffer.concat([header, payload]);
}

/** A control frame of 32-bit numbers: RST_STREAM, PING, GOAWAY, WINDOW_UPDATE. */
export function numbersFrame(type: number, ...numbers: number[]): Buffer {
  const payload = Buffer.alloc(numbers.length * 4);
  for (const [index, number] of numbers.entries()) payload.writeUInt32BE(number, index * 4);
  return controlFrame(type, payload);
}

export function dataHeader(streamId: number, length: number, fin: boolean): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(streamId, 0);
  header.writeUInt8(fin ? FLAG_FIN : 0, 4);
  header.writeUIntBE(length, 5, 3);
  return header;
}
