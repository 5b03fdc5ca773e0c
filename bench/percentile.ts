/** Order statistics of measured values. */

export interface Summary {
  count: number;
  p50: number;
  p90: number;
  p99: number;
}

/** Nearest-rank percentiles. @throws for no values. */
export function summarize(values: readonly number[]): Summary {
  if (values.length === 0) throw new Error("nothing was measured");
  const sorted = [...values].sort((a, b) => a - b);
  const rank = (p: number): number => sorted[Math.max(0, Math.ceil((p / 100) * sorted.length) - 1)] ?? NaN;
  return { count: sorted.length, p50: rank(50), p90: rank(90), p99: rank(99) };
}
