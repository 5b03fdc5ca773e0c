/** JSON whose integers are exact: seccomp's arguments go up to 2^64-1, beyond what a number holds. */

/** Integers that a number cannot hold exactly come as bigint. */
export function parseExactJson(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown, context?: { source?: string }) => {
    if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
    const source = context?.source ?? "";
    return /^-?\d+$/.test(source) ? BigInt(source) : value;
  });
}

/** The reverse: a bigint is written as its digits. */
export function stringifyExactJson(value: unknown): string {
  const json = JSON as unknown as { rawJSON(this: void, text: string): unknown };
  return JSON.stringify(value, (_key, member: unknown) =>
    typeof member === "bigint" ? json.rawJSON(String(member)) : member,
  );
}
