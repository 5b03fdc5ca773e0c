/**
 * The NRI multiplexer: several byte streams, told apart by number, over one socket.
 *
 *   frame = stream number (32 bit, big-endian), length (32 bit, big-endian), that many bytes
 *
 * Nothing of a frame is kept but its header: the bytes go on to the stream's reader as they arrive, so a frame's length
 * claims no memory. Frames of a stream that nobody has opened are skipped.
 */
import { GantryError } from "../base/errors.ts";
import { FrameHeader } from "./frame-header.ts";

/** The runtime calls the plugin here. */
export const PLUGIN_SERVICE_STREAM = 1;
/** The plugin calls the runtime here. */
export const RUNTIME_SERVICE_STREAM = 2;

const HEADER_BYTES = 8;
/** What the other side's multiplexer would split: the largest ttrpc message with its header. */
const MAX_FRAME_BYTES = (4 << 20) + 10;
/**
 * Readers in Go take one frame per read and refuse what is longer than their buffer: 4096 bytes for the beginning of
 * a message, and exactly the rest of it after that.
 */
const FIRST_FRAME_BYTES = 4096;

export type StreamReader = (bytes: Buffer) => void;

/** Splits what arrives into streams. */
export class Demultiplexer {
  readonly #readers = new Map<number, StreamReader>();
  readonly #header = new FrameHeader(HEADER_BYTES);
  #left = 0;
  #reader: StreamReader | undefined;

  open(stream: number, reader: StreamReader): void {
    this.#readers.set(stream, reader);
  }

  /** @throws invalid-argument for a frame that no peer may send. What a reader throws goes through. */
  receive(chunk: Buffer): void {
    let offset = 0;
    while (offset < chunk.length) {
      if (this.#left > 0) {
        const part = chunk.subarray(offset, offset + this.#left);
        offset += part.length;
        this.#left -= part.length;
        this.#reader?.(part);
        continue;
      }
      offset += this.#header.take(chunk, offset);
      if (this.#header.whole) this.#begin();
    }
  }

  #begin(): void {
    const stream = this.#header.bytes.readUInt32BE(0);
    const length = this.#header.bytes.readUInt32BE(4);
    if (stream === 0) throw new GantryError("invalid-argument", "frame of stream 0, which is reserved");
    if (length > MAX_FRAME_BYTES)
      throw new GantryError("invalid-argument", `frame of ${length} bytes, more than ${MAX_FRAME_BYTES}`);
    this.#header.reset();
    this.#left = length;
    this.#reader = this.#readers.get(stream);
  }
}

/** The frames of one message on a stream, as readers in Go can take them. */
export function framesOf(stream: number, message: Uint8Array): Buffer {
  const first = Math.min(message.length, FIRST_FRAME_BYTES);
  const rest = message.length - first;
  const frames = Buffer.allocUnsafe(HEADER_BYTES + first + (rest > 0 ? HEADER_BYTES + rest : 0));
  let offset = 0;
  for (const part of rest > 0 ? [message.subarray(0, first), message.subarray(first)] : [message]) {
    offset = frames.writeUInt32BE(stream, offset);
    offset = frames.writeUInt32BE(part.length, offset);
    frames.set(part, offset);
    offset += part.length;
  }
  return frames;
}
