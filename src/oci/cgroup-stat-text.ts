/** The text of cgroup counters: "key value" lines, and limits, where a huge number or "max" is none. */

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

/** Nanoseconds since the epoch, to the millisecond. */
export function nowNs(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}
