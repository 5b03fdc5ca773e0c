/**
 * The text of cgroup counters: "key value" lines, limits, where a huge number or "max" is none, pressure, and counters by
 * device.
 */
import type { Pressure, PressureLine } from "./cgroup.ts";

/** Above this a v1 limit means none: the kernel's own "no limit" is the largest multiple of the page size. */
const V1_UNLIMITED = 2 ** 62;

/** The number after `key` at the start of a line; 0 where there is no such line. */
export function statField(text: string, key: string): number {
  const prefix = `${key} `;
  let at = 0;
  if (!text.startsWith(prefix)) {
    at = text.indexOf(`\n${prefix}`) + 1;
    if (at === 0) return 0;
  }
  const end = text.indexOf("\n", at);
  return Number(text.slice(at + prefix.length, end < 0 ? undefined : end));
}

/** Undefined for "max", a v1 "no limit", and an absent file. */
export function limitOf(text: string): number | undefined {
  const trimmed = text.trim();
  if (trimmed === "" || trimmed === "max") return undefined;
  const limit = Number(trimmed);
  return limit >= V1_UNLIMITED ? undefined : limit;
}

/** The number in a file; 0 where it is absent. */
export function numberOf(text: string | undefined): number {
  return Number(text ?? 0);
}

/** Like numberOf, for counters of nanoseconds. */
export function bigintOf(text: string | undefined): bigint {
  return BigInt(text?.trim() || 0);
}

/** The pids in a cgroup.procs; those of another PID namespace, which read as 0, are left out. */
export function pidsOf(text: string): number[] {
  const pids: number[] = [];
  for (const line of text.split("\n")) if (line !== "" && line !== "0") pids.push(Number(line));
  return pids;
}

/** How many lines there are. */
export function lineCount(text: string): number {
  let count = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count++;
  return count;
}

/** A pressure file: "some avg10=0.00 avg60=0.00 avg300=0.00 total=0". Undefined where it is absent or empty. */
export function pressureOf(text: string | undefined): Pressure | undefined {
  const some = pressureLine(text, "some ");
  if (!some) return undefined;
  const full = pressureLine(text, "full ");
  return full ? { some, full } : { some };
}

function pressureLine(text: string | undefined, word: string): PressureLine | undefined {
  const at = text?.indexOf(word) ?? -1;
  if (text === undefined || at < 0) return undefined;
  const field = (key: string): number => {
    const start = text.indexOf(key, at) + key.length;
    const blank = text.indexOf(" ", start);
    const line = text.indexOf("\n", start);
    const ends = [blank, line].filter((end) => end >= 0);
    return Number(text.slice(start, ends.length > 0 ? Math.min(...ends) : undefined));
  };
  return {
    totalUs: field("total="),
    avg10: field("avg10="),
    avg60: field("avg60="),
    avg300: field("avg300="),
  };
}

/** Lines that begin with a device, "8:0 rest", as its numbers and the rest. */
export function* deviceLines(
  text: string | undefined,
): Generator<{ major: number; minor: number; rest: string }> {
  for (const line of (text ?? "").split("\n")) {
    const found = /^(\d+):(\d+) (.*)$/.exec(line);
    if (found) yield { major: Number(found[1]), minor: Number(found[2]), rest: found[3] ?? "" };
  }
}
