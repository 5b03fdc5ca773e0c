/**
 * Work on a long list in portions: while one is handed over, the next is under way, and between two of them the event
 * loop serves others.
 */

/** The results of `work` on each portion, in order. An abort is seen between portions. */
export async function* inPortions<Item, Result>(
  items: readonly Item[],
  size: number,
  signal: AbortSignal,
  work: (portion: readonly Item[]) => Promise<Result>,
): AsyncGenerator<Result> {
  const begin = (from: number): Promise<Result> | undefined => {
    if (from >= items.length) return undefined;
    const running = work(items.slice(from, from + size));
    // Whoever awaits it hears of a failure; a reader that stops early does not.
    running.catch(() => undefined);
    return running;
  };
  let running = begin(0);
  for (let from = size; running; from += size) {
    const result = await running;
    signal.throwIfAborted();
    running = begin(from);
    yield result;
  }
}
