/**
 * Extended headers of the pax format (POSIX.1-2017, pax, "pax Extended Header"): records `LENGTH KEY=VALUE\n`, for
 * the next entry ("x") or for all that follow ("g"). Keys and values are byte strings.
 */
import { GantryError } from "../../base/errors.ts";
import type { SparsePiece } from "./tar-header.ts";

const XATTR_PREFIX = "SCHILY.xattr.";
const MAX_LENGTH_DIGITS = 8;

function malformed(message: string): GantryError {
  return new GantryError("invalid-argument", `pax header: ${message}`);
}

export interface PaxRecords {
  /** Last value of each key; an empty value takes back a global one. */
  values: Map<string, string>;
  /** `GNU.sparse.offset` and `GNU.sparse.numbytes`, which repeat (sparse format 0.0). */
  sparse: SparsePiece[];
}

/** @throws GantryError invalid-argument for a malformed record. */
export function parsePaxRecords(body: Buffer): PaxRecords {
  const values = new Map<string, string>();
  const sparse: SparsePiece[] = [];
  let offset: number | undefined;
  for (let at = 0; at < body.length;) {
    const space = body.indexOf(0x20, at);
    const digits = space < 0 || space - at > MAX_LENGTH_DIGITS ? "" : body.toString("latin1", at, space);
    if (!/^[0-9]+$/.test(digits)) throw malformed("record without a length");
    const end = at + Number(digits);
    if (end > body.length || end <= space + 1 || body[end - 1] !== 0x0a)
      throw malformed("record of a wrong length");
    const record = body.toString("latin1", space + 1, end - 1);
    const equals = record.indexOf("=");
    if (equals <= 0) throw malformed("record without a key");
    const key = record.slice(0, equals);
    const value = record.slice(equals + 1);
    if (key === "GNU.sparse.offset") {
      offset = paxCount(value, key);
    } else if (key === "GNU.sparse.numbytes") {
      if (offset === undefined) throw malformed("GNU.sparse.numbytes without an offset");
      sparse.push({ offset, length: paxCount(value, key) });
      offset = undefined;
    } else {
      values.set(key, value);
    }
    at = end;
  }
  return { values, sparse };
}

/** A decimal number of at most 53 bits. */
export function paxCount(value: string, key: string): number {
  const number = Number(value);
  if (!/^[0-9]{1,16}$/.test(value) || !Number.isSafeInteger(number))
    throw malformed(`${key} is not a number`);
  return number;
}

/** A time as decimal seconds, perhaps negative, with a fraction of which nine digits count. */
export function paxTime(value: string, key: string): { seconds: number; nanoseconds: number } {
  const match = /^(-?)([0-9]{1,15})(?:\.([0-9]*))?$/.exec(value);
  if (!match) throw malformed(`${key} is not a time`);
  const whole = Number(match[2]);
  const fraction = Number((match[3] ?? "").slice(0, 9).padEnd(9, "0"));
  if (!match[1]) return { seconds: whole, nanoseconds: fraction };
  return fraction === 0
    ? { seconds: -whole, nanoseconds: 0 }
    : { seconds: -whole - 1, nanoseconds: 1_000_000_000 - fraction };
}

/** The extended attributes among the records. */
export function paxXattrs(values: ReadonlyMap<string, string>): { name: string; value: string }[] {
  const xattrs = [];
  for (const [key, value] of values) {
    if (key.startsWith(XATTR_PREFIX)) xattrs.push({ name: key.slice(XATTR_PREFIX.length), value });
  }
  return xattrs;
}
