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
  return JSON.stringify(value, bigintAsText) ?? "null";
}

function bigintAsText(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? value.toString() : value;
}
