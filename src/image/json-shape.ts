/**
 * Reading untrusted JSON field by field: each function gives a value of the asked type or throws an error that
 * names the field. A field that is absent or null is undefined, as Go's encoders write null for an empty value.
 */
import { GantryError } from "../base/errors.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

/** What a document is, for messages: `manifest sha256:…`. */
function malformed(document: string, reason: string): GantryError {
  return new GantryError("data-loss", `${document}: ${reason}`);
}

/** @throws data-loss when the bytes are not UTF-8, not JSON, or not an object. */
export function parseJsonObject(document: string, bytes: Uint8Array): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    // The parser's message quotes the document, which may be anything.
    throw new GantryError("data-loss", `${document}: not valid JSON`, { cause });
  }
  return asObject(document, "document", value) ?? {};
}

export function asObject(document: string, field: string, value: unknown): JsonObject | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "object" || Array.isArray(value))
    throw malformed(document, `${field} is not an object`);
  return value as JsonObject;
}

export function asArray(document: string, field: string, value: unknown): readonly unknown[] | undefined {
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value)) throw malformed(document, `${field} is not an array`);
  return value as unknown[];
}

/** A string without NUL, which no argument, path or variable can hold. */
export function asString(document: string, field: string, value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string") throw malformed(document, `${field} is not a string`);
  if (value.includes("\0")) throw malformed(document, `${field} has a NUL character`);
  return value;
}

export function asStrings(document: string, field: string, value: unknown): string[] {
  const array = asArray(document, field, value) ?? [];
  return array.map((item, index) => {
    const text = asString(document, `${field}[${index}]`, item);
    if (text === undefined) throw malformed(document, `${field}[${index}] is not a string`);
    return text;
  });
}

/** A non-negative integer that a number holds exactly. */
export function asSize(document: string, field: string, value: unknown): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw malformed(document, `${field} is not a size`);
  }
  return value;
}
