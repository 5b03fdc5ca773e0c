/** Finding things by a full identifier or a unique prefix of one, as people type them. */
import { GantryError } from "../base/errors.ts";

/**
 * The one entry of this id or prefix, undefined where there is none.
 * @throws invalid-argument when the prefix is of several.
 */
export function findByPrefix<T>(entries: ReadonlyMap<string, T>, id: string, noun: string): T | undefined {
  const exact = entries.get(id);
  if (exact !== undefined || id === "" || id.length >= 64) return exact;
  let found: T | undefined;
  for (const [key, entry] of entries) {
    if (!key.startsWith(id)) continue;
    if (found !== undefined)
      throw new GantryError("invalid-argument", `${noun} id "${id}" is a prefix of several`);
    found = entry;
  }
  return found;
}

/** Whether all labels of the selector are there with equal values. */
export function labelsMatch(
  labels: Record<string, string>,
  selector: Record<string, string> | undefined,
): boolean {
  return Object.entries(selector ?? {}).every(([key, value]) => labels[key] === value);
}
