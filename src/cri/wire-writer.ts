/**
 * Writes protobuf's wire format by hand, for the few replies that are polled and large: statistics and metrics of a full
 * node. Through message objects they cost ten times as much, most of it in collecting the garbage. Field numbers are
 * those of proto/runtime/v1/api.proto; tests decode what is written with that definition.
 *
 * In this format the encodings of two messages one after the other are that of both merged, with the elements of
 * repeated fields together. So a list may be written portion by portion.
 */
import { EncodedMessage } from "./protocol.ts";

const LENGTH_DELIMITED = 2;
const FIXED64 = 1;
/** What a tag and a number need at most. */
const NUMBER_BYTES = 12;

export class WireWriter {
  #buffer: Buffer;
  #length = 0;

  /** @param capacity to begin with, in bytes. */
  constructor(capacity = 4096) {
    this.#buffer = Buffer.allocUnsafeSlow(capacity);
  }

  /** What has been written; the writer is not to be used after that. */
  finish(): EncodedMessage {
    return new EncodedMessage(this.#buffer.subarray(0, this.#length));
  }

  /** Fields that were encoded before. */
  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  bytes(field: number, bytes: Uint8Array): void {
    this.#header(field, bytes.length);
    this.raw(bytes);
  }

  string(field: number, text: string): void {
    this.bytes(field, Buffer.from(text));
  }

  /** A number that is not negative; 0 is the default and not written. */
  number(field: number, value: number | bigint): void {
    if (value > 0) {
      this.#reserve(NUMBER_BYTES);
      this.#buffer[this.#length++] = field << 3;
      this.#varint(value);
    }
  }

  double(field: number, value: number): void {
    if (value === 0) return;
    this.#reserve(NUMBER_BYTES);
    this.#buffer[this.#length++] = (field << 3) | FIXED64;
    this.#length = this.#buffer.writeDoubleLE(value, this.#length);
  }

  /** The message UInt64Value, which is there with 0 in it, and absent for undefined. */
  count(field: number, value: number | bigint | undefined): void {
    if (value === undefined) return;
    const start = this.begin(field);
    this.number(1, value);
    this.end(start);
  }

  /** Starts a message as the value of the field; gives the position for `end`. */
  begin(field: number): number {
    this.#reserve(NUMBER_BYTES);
    this.#buffer[this.#length++] = (field << 3) | LENGTH_DELIMITED;
    // Room for a short length; a longer one moves what follows.
    return ++this.#length;
  }

  end(start: number): void {
    const length = this.#length - start;
    if (length >= 0x80) {
      const more = lengthOf(length) - 1;
      this.#reserve(more);
      this.#buffer.copyWithin(start + more, start, this.#length);
      this.#length += more;
    }
    const end = this.#length;
    this.#length = start - 1;
    this.#varint(length);
    this.#length = end;
  }

  #header(field: number, length: number): void {
    this.#reserve(NUMBER_BYTES);
    this.#buffer[this.#length++] = (field << 3) | LENGTH_DELIMITED;
    this.#varint(length);
  }

  /** Room has been reserved. */
  #varint(value: number | bigint): void {
    let rest = value;
    if (typeof rest === "bigint") {
      for (; rest > 0xffff_ffffn; rest >>= 7n) this.#buffer[this.#length++] = Number(rest & 0x7fn) | 0x80;
      rest = Number(rest);
    }
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.#buffer[this.#length++] = (rest % 0x80) | 0x80;
    this.#buffer[this.#length++] = rest;
  }

  #reserve(count: number): void {
    const wanted = this.#length + count;
    if (wanted <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(wanted, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}

/** Bytes of a number in the wire format. */
function lengthOf(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length++;
  return length;
}

/** One string field, to be written many times. */
export function stringField(field: number, text: string): Uint8Array {
  const writer = new WireWriter(Buffer.byteLength(text) + NUMBER_BYTES);
  writer.string(field, text);
  return writer.finish().bytes;
}
