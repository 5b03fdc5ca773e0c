/** 64-bit integers of the protocol, which arrive as decimal strings, as numbers and back. */
import { GantryError } from "../base/errors.ts";

/** @throws invalid-argument for what a number cannot hold exactly. */
export function integer(value: string, what: string): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number))
    throw new GantryError("invalid-argument", `${what}: ${value} is out of range`);
  return number;
}

/** The wrapped number, or undefined where there is none. */
export function optional(wrapped: { value: string } | null, what: string): number | undefined {
  return wrapped ? integer(wrapped.value, what) : undefined;
}

export function wrap<T>(value: T | undefined): { value: T } | undefined {
  return value === undefined ? undefined : { value };
}
