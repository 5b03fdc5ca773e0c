/** The `info` maps of the verbose replies: each value is JSON, which crictl unfolds. */

/** One key, "info", with everything in it, where clients of the other runtimes look for `pid` and `runtimeSpec`. */
export function singleInfo(facts: Record<string, unknown>): Record<string, string> {
  return { info: json(facts) };
}

/** A key for each fact. */
export function info(facts: Record<string, unknown>): Record<string, string> {
  return Object.fromEntries(Object.entries(facts).map(([key, value]) => [key, json(value)]));
}

function json(value: unknown): string {
  const plain = (_key: string, part: unknown): unknown => (typeof part === "bigint" ? part.toString() : part);
  return JSON.stringify(value, plain) ?? "null";
}
