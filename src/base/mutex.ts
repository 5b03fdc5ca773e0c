/** Mutual exclusion by key: at most one holder for each key, first come, first served. */
import { abortable } from "./abort.ts";

export class KeyedMutex {
  readonly #tails = new Map<string, Promise<void>>();

  /** Runs the work while holding the key. An abort while waiting gives up the place and rejects at once. */
  async run<T>(key: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    const turn = Promise.withResolvers<void>();
    const tail = before.then(() => turn.promise);
    this.#tails.set(key, tail);
    void tail.then(() => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    });
    try {
      await abortable(before, signal);
      return await work();
    } finally {
      turn.resolve();
    }
  }
}
