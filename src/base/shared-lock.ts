/**
 * A lock that many may share or one may hold alone. First come, first served: who waits to be alone keeps later
 * sharers waiting, so that it gets its turn.
 */
import { abortable } from "./abort.ts";

export class SharedLock {
  /** Ends when everybody who came before the next one to be alone is done. */
  #sharers: Promise<unknown> = Promise.resolve();
  /** Ends when nobody who came to be alone waits or works any more. */
  #alone: Promise<unknown> = Promise.resolve();

  /** Runs the work beside others that share, not beside one that is alone. An abort while waiting rejects at once. */
  async shared<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const before = this.#alone;
    const turn = Promise.withResolvers<void>();
    this.#sharers = both(this.#sharers, turn.promise);
    try {
      await abortable(before, signal);
      return await work();
    } finally {
      turn.resolve();
    }
  }

  /** Runs the work while nobody else holds the lock. An abort while waiting rejects at once. */
  async alone<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const before = Promise.all([this.#sharers, this.#alone]);
    const turn = Promise.withResolvers<void>();
    // Not what it waits for: who gives up waiting leaves nobody waiting in its place.
    this.#alone = both(this.#alone, turn.promise);
    try {
      await abortable(before, signal);
      return await work();
    } finally {
      turn.resolve();
    }
  }
}

/** Ends with both. Without a value: the values of a chain would hold each other, and grow with it. */
async function both(before: Promise<unknown>, turn: Promise<unknown>): Promise<void> {
  await before;
  await turn;
}
