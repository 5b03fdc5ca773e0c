/** Counters in the text of cgroup files, exact up to 2^64-1, and the shapes that v1 and v2 share. */
import { pressureOf } from "../cgroup-stat-text.ts";
import type { PressureLine } from "../cgroup.ts";
import type { Counter, Shape } from "./event-stats.ts";

export const UNLIMITED = 2n ** 64n - 1n;

/** 0 for no text, 2^64-1 for "max". */
export function counter(text: string | undefined): Counter {
  const trimmed = text?.trim() ?? "";
  if (trimmed === "max") return UNLIMITED;
  return /^-?\d+$/.test(trimmed) ? exact(BigInt(trimmed)) : 0;
}

export function exact(value: bigint): Counter {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}

/** Sum that stays 2^64-1 where a part has no limit. */
export function sum(one: Counter, other: Counter): Counter {
  if (one === UNLIMITED || other === UNLIMITED) return UNLIMITED;
  return exact(BigInt(one) + BigInt(other));
}

export function multiple(value: Counter, factor: bigint): Counter {
  return exact(BigInt(value) * factor);
}

/** "key value" lines. */
export function fields(text: string | undefined): Map<string, Counter> {
  return new Map(
    (text ?? "")
      .split("\n")
      .filter(Boolean)
      .map((line): [string, Counter] => {
        const [key = "", value] = line.split(" ");
        return [key, counter(value)];
      }),
  );
}

/** Without the named fields that are 0 or empty. */
export function omitting(shape: Shape, names: readonly string[]): Shape {
  return Object.fromEntries(
    Object.entries(shape).filter(([name, value]) => {
      const isEmpty =
        value === 0 || value === 0n || value === "" || (Array.isArray(value) && value.length === 0);
      return !(names.includes(name) && isEmpty);
    }),
  );
}

export function memoryEntry(entry: {
  limit: Counter;
  usage: Counter;
  max: Counter;
  failcnt: Counter;
}): Shape {
  return omitting(entry, ["usage", "max"]);
}

/** "0-2,4" as numbers. */
export function listed(text: string | undefined): number[] {
  return (text?.trim() ?? "")
    .split(",")
    .filter(Boolean)
    .flatMap((part) => {
      const [first = 0, last = first] = part.split("-").map(Number);
      return Array.from({ length: last - first + 1 }, (_, index) => first + index);
    });
}

/** Pressure as an object with "some" and "full"; undefined where the kernel keeps none. */
export function pressure(text: string | undefined): Shape | undefined {
  const found = pressureOf(text);
  if (!found) return undefined;
  const line = ({ avg10, avg60, avg300, totalUs }: PressureLine): Shape => ({
    avg10,
    avg60,
    avg300,
    total: totalUs,
  });
  return { some: line(found.some), ...(found.full ? { full: line(found.full) } : {}) };
}
