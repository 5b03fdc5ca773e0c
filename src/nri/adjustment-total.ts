/** The adjustments of all plugins as one, for those who judge the whole. */
import type { AdjustmentIn } from "./messages.ts";

type Total = Partial<AdjustmentIn>;

/** Lists are joined, keys of maps and single values are the later one's. */
export function addAdjustment(total: Total, adjustment: AdjustmentIn): Total {
  return merge(total, adjustment) as Total;
}

function merge(total: unknown, change: unknown): unknown {
  if (change === null || change === undefined || change === "") return total ?? change;
  if (Array.isArray(change))
    return [...(Array.isArray(total) ? (total as unknown[]) : []), ...(change as unknown[])];
  if (typeof change !== "object") return change;
  const result = new Map<string, unknown>(Object.entries(isObject(total) ? total : {}));
  for (const [key, value] of Object.entries(change)) result.set(key, merge(result.get(key), value));
  return Object.fromEntries(result);
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
