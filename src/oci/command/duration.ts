/** Durations as other engines write them: "5s", "1m30s", "1.5h", "100ms". */
import { GantryError } from "../../base/errors.ts";

const UNITS_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds; negative with a leading "-". @throws GantryError invalid-argument. */
export function durationMs(text: string): number {
  const [, sign = "", body = ""] = /^([+-]?)(.*)$/s.exec(text) ?? [];
  if (body === "0") return 0;
  const parts = body.match(/(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)/g) ?? [];
  if (parts.join("") !== body || parts.length === 0)
    throw new GantryError("invalid-argument", `invalid duration ${JSON.stringify(text)}`);
  const sum = parts.reduce((total, part) => {
    const number = Number.parseFloat(part);
    return total + number * (UNITS_MS[part.replace(/^[\d.]+/, "")] as number);
  }, 0);
  return sign === "-" ? -sum : sum;
}
