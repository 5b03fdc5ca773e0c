/** The mark of NRI for what is to be taken away: a "-" before its name. */

export function splitRemovals<T>(
  items: readonly T[],
  nameOf: (item: T) => string,
): { removed: string[]; set: T[] } {
  const marked = items.filter((item) => nameOf(item).startsWith("-"));
  return {
    removed: marked.map((item) => nameOf(item).slice(1)),
    set: items.filter((item) => !nameOf(item).startsWith("-")),
  };
}
