/**
 * The frames of ttrpc, as bytes:
 *
 *   length (32 bit, big-endian, without this header), stream id (32 bit, big-endian), type (8 bit), flags (8 bit)
 *
 * A call is one stream: a request with an odd id that the caller counts up, and a response with the same id.
 */
import { GantryError } from "../base/errors.ts";
import { FrameHeader } from "./frame-header.ts";

export const MAX_MESSAGE_BYTES = 4 << 20;
const HEADER_BYTES = 10;

export const FRAME_REQUEST = 1;
export const FRAME_RESPONSE = 2;
/** Of streaming calls, which NRI does not have. */
export const FRAME_DATA = 3;

/** On a request: nothing more follows from the caller. */
export const FLAG_REMOTE_CLOSED = 1;

const EMPTY = Buffer.alloc(0);

export interface TtrpcFrame {
  streamId: number;
  type: number;
  flags: number;
  payload: Buffer;
}

export function encodeFrame(frame: Omit<TtrpcFrame, "payload"> & { payload: Uint8Array }): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + frame.payload.length);
  bytes.writeUInt32BE(frame.payload.length, 0);
  bytes.writeUInt32BE(frame.streamId, 4);
  bytes.writeUInt8(frame.type, 8);
  bytes.writeUInt8(frame.flags, 9);
  bytes.set(frame.payload, HEADER_BYTES);
  return bytes;
}

/** Puts frames together from a stream of bytes. Holds at most one frame, and of that only what has arrived. */
export class FrameDecoder {
  readonly #onFrame: (frame: TtrpcFrame) => void;
  readonly #header = new FrameHeader(HEADER_BYTES);
  #body = EMPTY;
  #length = 0;
  #missing = 0;

  constructor(onFrame: (frame: TtrpcFrame) => void) {
    this.#onFrame = onFrame;
  }

  /** @throws invalid-argument for a message that is too long. */
  receive(chunk: Buffer): void {
    let offset = 0;
    while (offset < chunk.length) {
      if (!this.#header.whole) {
        offset += this.#header.take(chunk, offset);
        if (!this.#header.whole) return;
        this.#missing = this.#header.bytes.readUInt32BE(0);
        if (this.#missing > MAX_MESSAGE_BYTES)
          throw new GantryError(
            "invalid-argument",
            `message of ${this.#missing} bytes, more than ${MAX_MESSAGE_BYTES}`,
          );
      }
      const part = chunk.subarray(offset, offset + this.#missing);
      offset += part.length;
      this.#missing -= part.length;
      if (part.length > 0) this.#keep(part);
      if (this.#missing === 0) this.#finish();
    }
  }

  /** The room grows with what arrives, not with what was announced. */
  #keep(part: Buffer): void {
    const length = this.#length + part.length;
    if (length > this.#body.length) {
      const room = Math.min(length + this.#missing, Math.max(length, 2 * this.#body.length));
      const body = Buffer.allocUnsafe(room);
      this.#body.copy(body, 0, 0, this.#length);
      this.#body = body;
    }
    part.copy(this.#body, this.#length);
    this.#length = length;
  }

  #finish(): void {
    const payload = this.#body.subarray(0, this.#length);
    this.#body = EMPTY;
    this.#length = 0;
    this.#header.reset();
    this.#onFrame({
      streamId: this.#header.bytes.readUInt32BE(4),
      type: this.#header.bytes.readUInt8(8),
      flags: this.#header.bytes.readUInt8(9),
      payload,
    });
  }
}
