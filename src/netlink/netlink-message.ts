/**
 * Netlink messages as bytes: the header and the nested attributes that rtnetlink and nfnetlink share (netlink(7),
 * linux/netlink.h).
 *
 *   nlmsghdr   length u32 | type u16 | flags u16 | sequence u32 | port u32      then a fixed family header
 *   nlattr     length u16 | type u16 | value, padded to 4 bytes
 *
 * Numbers are in the host's byte order, which is little-endian on every machine that Gantry supports; nfnetlink's
 * attributes are big-endian and say so at the call. A value that does not fit its 16-bit length throws
 * (CVE-2021-43784 was an overflow of it).
 */
import { GantryError } from "../base/errors.ts";

export const NLMSG_HEADER_BYTES = 16;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

export const NLM_F_REQUEST = 0x1;
export const NLM_F_MULTI = 0x2;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;

const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;

/** A request without its sequence number, which the exchange sets. */
export interface NetlinkMessage {
  type: number;
  /** NLM_F_*; NLM_F_REQUEST is always added. */
  flags: number;
  /** Family header and attributes. */
  payload: Uint8Array;
  /** For error messages: `create link "gt0"`. */
  description: string;
  /** The kernel does not acknowledge it, whatever its flags. */
  unacknowledged?: boolean;
}

/** Appends attributes to a growing payload. Methods return the builder. */
export class AttributeWriter {
  #bytes: Buffer;
  #length: number;

  /** @param header the family's fixed header that stands before the attributes; empty within a nested value. */
  constructor(header: Uint8Array = new Uint8Array()) {
    this.#bytes = Buffer.alloc(256 + header.length);
    this.#bytes.set(header);
    this.#length = align(header.length);
  }

  bytes(type: number, value: Uint8Array): this {
    const length = 4 + value.length;
    if (length > 0xffff)
      throw new GantryError("internal", `netlink attribute ${type} has ${value.length} bytes`);
    const end = this.#length + align(length);
    if (end > this.#bytes.length) {
      const larger = Buffer.alloc(Math.max(end, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = larger;
    }
    this.#bytes.writeUInt16LE(length, this.#length);
    this.#bytes.writeUInt16LE(type, this.#length + 2);
    this.#bytes.set(value, this.#length + 4);
    this.#length = end;
    return this;
  }

  /** A NUL-terminated string. */
  string(type: number, value: string): this {
    return this.bytes(type, Buffer.from(`${value}\0`));
  }

  u8(type: number, value: number): this {
    return this.bytes(type, Uint8Array.of(value));
  }

  u16(type: number, value: number): this {
    const bytes = Buffer.alloc(2);
    bytes.writeUInt16LE(value);
    return this.bytes(type, bytes);
  }

  u32(type: number, value: number): this {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value >>> 0);
    return this.bytes(type, bytes);
  }

  /** Big-endian, as nfnetlink wants it. */
  be32(type: number, value: number): this {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value >>> 0);
    return this.bytes(type, bytes);
  }

  /** Without the nested flag, as rtnetlink's older attributes are written. */
  nest(type: number, fill: (inner: AttributeWriter) => void, header?: Uint8Array): this {
    const inner = new AttributeWriter(header);
    fill(inner);
    return this.bytes(type, inner.finish());
  }

  /** With NLA_F_NESTED, which nfnetlink requires. */
  nested(type: number, fill: (inner: AttributeWriter) => void): this {
    return this.nest(type | NLA_F_NESTED, fill);
  }

  /** Attributes that are encoded already. */
  raw(attributes: Buffer): this {
    for (const { type, value, nested } of listAttributes(attributes)) {
      this.bytes(nested ? type | NLA_F_NESTED : type, value);
    }
    return this;
  }

  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }
}

/** The attributes of one level, by type; of repeated types the last. Throws data-loss for lengths that do not fit. */
export function readAttributes(bytes: Buffer): Map<number, Buffer> {
  const attributes = new Map<number, Buffer>();
  for (const { type, value } of listAttributes(bytes)) attributes.set(type, value);
  return attributes;
}

/** The attributes of one level in order, for lists of equal types. */
export function listAttributes(bytes: Buffer): { type: number; value: Buffer; nested: boolean }[] {
  const attributes: { type: number; value: Buffer; nested: boolean }[] = [];
  for (let at = 0; at + 4 <= bytes.length;) {
    const length = bytes.readUInt16LE(at);
    if (length < 4 || at + length > bytes.length) {
      throw new GantryError("data-loss", `netlink attribute of ${length} bytes in ${bytes.length - at}`);
    }
    const type = bytes.readUInt16LE(at + 2);
    attributes.push({
      type: type & NLA_TYPE_MASK,
      nested: (type & NLA_F_NESTED) !== 0,
      value: bytes.subarray(at + 4, at + length),
    });
    at += align(length);
  }
  return attributes;
}

/** A NUL-terminated string's text. */
export function attributeText(value: Buffer): string {
  const end = value.indexOf(0);
  return value.toString("utf8", 0, end < 0 ? value.length : end);
}

/** The batch as it is sent; message i has sequence number firstSequence + i. */
export function encodeMessages(messages: readonly NetlinkMessage[], firstSequence: number): Uint8Array {
  const total = messages.reduce((sum, { payload }) => sum + NLMSG_HEADER_BYTES + align(payload.length), 0);
  const bytes = Buffer.alloc(total);
  let at = 0;
  for (const [index, { type, flags, payload }] of messages.entries()) {
    bytes.writeUInt32LE(NLMSG_HEADER_BYTES + payload.length, at);
    bytes.writeUInt16LE(type, at + 4);
    bytes.writeUInt16LE(flags | NLM_F_REQUEST, at + 6);
    bytes.writeUInt32LE(firstSequence + index, at + 8);
    bytes.set(payload, at + NLMSG_HEADER_BYTES);
    at += NLMSG_HEADER_BYTES + align(payload.length);
  }
  return bytes;
}

export interface NetlinkReply {
  type: number;
  flags: number;
  sequence: number;
  payload: Buffer;
}

/** Takes what was received apart. Throws data-loss for lengths that do not fit. */
export function decodeMessages(bytes: Buffer): NetlinkReply[] {
  const replies: NetlinkReply[] = [];
  for (let at = 0; at + NLMSG_HEADER_BYTES <= bytes.length;) {
    const length = bytes.readUInt32LE(at);
    if (length < NLMSG_HEADER_BYTES || at + length > bytes.length) {
      throw new GantryError("data-loss", `netlink message of ${length} bytes in ${bytes.length - at}`);
    }
    replies.push({
      type: bytes.readUInt16LE(at + 4),
      flags: bytes.readUInt16LE(at + 6),
      sequence: bytes.readUInt32LE(at + 8),
      payload: bytes.subarray(at + NLMSG_HEADER_BYTES, at + length),
    });
    at += align(length);
  }
  return replies;
}

function align(length: number): number {
  return (length + 3) & ~3;
}
