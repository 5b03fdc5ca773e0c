/**
 * Checks of single request fields. Each gives the value back, or throws invalid-argument with the field's full name
 * as in the protocol ("config.linux.resources.cpu_period"), so that no missing part of a request can do more than
 * fail it (CVE-2024-23650).
 */
import { LONGEST_TIMER_MS } from "../base/abort.ts";
import { GantryError } from "../base/errors.ts";

export function invalid(field: string, problem: string): GantryError {
  return new GantryError("invalid-argument", `${field} ${problem}`);
}

/** A sub-message that must be there. */
export function required<T extends object>(value: T | null | undefined, field: string): T {
  if (value === null || value === undefined) throw invalid(field, "is missing");
  return value;
}

/** Text that goes to the kernel or into a path: without a NUL, which would cut it off there. */
export function text(value: string, field: string): string {
  if (value.includes("\0")) throw invalid(field, "has a NUL byte in it");
  return value;
}

export function nonEmpty(value: string, field: string): string {
  if (value === "") throw invalid(field, "is empty");
  return text(value, field);
}

export function texts(values: readonly string[], field: string): string[] {
  return values.map((value, index) => text(value, `${field}[${index}]`));
}

/** A name that may be shown, logged and compared, and that could not leave a directory were it used as a file name. */
export function plainName(value: string, field: string): string {
  if (value === "") throw invalid(field, "is empty");
  // eslint-disable-next-line no-control-regex
  if (/[/\u0000-\u001f\u007f]/.test(value) || value === "." || value === "..")
    throw invalid(
      field,
      `${JSON.stringify(value)} has a slash or a control character in it, or is a dot name`,
    );
  return value;
}

export function absolutePath(value: string, field: string): string {
  if (!nonEmpty(value, field).startsWith("/"))
    throw invalid(field, `${JSON.stringify(value)} is not an absolute path`);
  return value;
}

/** A path that stays below where it starts: relative, without "..". */
export function relativePath(value: string, field: string): string {
  if (text(value, field).startsWith("/")) throw invalid(field, `${JSON.stringify(value)} is not relative`);
  return noParentParts(value, field);
}

/** @throws if a part of the path is "..". */
export function noParentParts(value: string, field: string): string {
  if (text(value, field).split("/").includes(".."))
    throw invalid(field, `${JSON.stringify(value)} has ".." in it`);
  return value;
}

/** A 64-bit field, which arrives as a string, or a 32-bit one, within bounds that a number holds exactly. */
export function integer(
  value: string | number,
  field: string,
  min: number,
  max = Number.MAX_SAFE_INTEGER,
): number {
  const exact = BigInt(value);
  if (exact < BigInt(min) || exact > BigInt(max)) {
    const bounds =
      max === Number.MAX_SAFE_INTEGER ? `at least ${min} and below 2^53` : `from ${min} to ${max}`;
    throw invalid(field, `is ${value}, and must be ${bounds}`);
  }
  return Number(exact);
}

/** What an enum's name stands for. The protocol lets numbers without a name through; here they are refused. */
export function choice<Name extends string, Value>(
  meanings: Readonly<Record<Name, Value>>,
  name: Name,
  field: string,
): Value {
  if (!Object.hasOwn(meanings, name)) throw invalid(field, `has the unknown value ${name}`);
  return meanings[name];
}

/** Seconds as milliseconds that a timer can take: what is longer is cut to the longest. */
export function timeoutSeconds(value: string, field: string): number {
  const seconds = BigInt(value);
  if (seconds < 0n) throw invalid(field, `is ${value}, and must not be negative`);
  return seconds > BigInt(Math.floor(LONGEST_TIMER_MS / 1000)) ? LONGEST_TIMER_MS : Number(seconds) * 1000;
}
