/** A long list made in portions, between which the event loop serves others. */
import { setImmediate as nextTurn } from "node:timers/promises";

/**
 * What `make` gives for each item, in order, without the undefined ones; no portion is empty. An abort is seen between
 * portions.
 */
export async function* inPortions<Item, Result>(
  items: readonly Item[],
  size: number,
  signal: AbortSignal,
  make: (item: Item, index: number) => Result | undefined,
): AsyncGenerator<Result[]> {
  for (let from = 0; from < items.length; from += size) {
    if (from > 0) await nextTurn();
    signal.throwIfAborted();
    const made: Result[] = [];
    for (let index = from; index < Math.min(from + size, items.length); index++) {
      const result = make(items[index] as Item, index);
      if (result !== undefined) made.push(result);
    }
    if (made.length > 0) yield made;
  }
}
