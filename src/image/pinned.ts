/**
 * Which images are pinned, which asks clients not to delete them.
 *
 * A pattern is a reference, normalised like any other, or has `*` for any characters: "registry.k8s.io/pause:*".
 */
import { parseReference, formatReference } from "./reference.ts";

/**
 * @returns whether any of an image's names (tags, digested names, id) matches.
 * @throws invalid-argument for a pattern without `*` that is no reference.
 */
export function pinnedMatcher(patterns: readonly string[]): (names: readonly string[]) => boolean {
  const exact = new Set<string>();
  const globs: RegExp[] = [];
  for (const pattern of patterns) {
    if (!pattern.includes("*")) exact.add(formatReference(parseReference(pattern)));
    else globs.push(new RegExp(`^${pattern.split(/\*+/).map(escape).join(".*")}$`));
  }
  return (names) => names.some((name) => exact.has(name) || globs.some((glob) => glob.test(name)));
}

function escape(text: string): string {
  return text.replace(/[\\^$.|?+()[\]{}/-]/g, "\\$&");
}
