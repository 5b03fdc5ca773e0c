/** At most so many pieces of work at once, first come, first served. */
import { abortable } from "./abort.ts";

export class Limiter {
  readonly #limit: number;
  #free: number;
  /** In the order of their coming. */
  readonly #waiting = new Set<() => void>();

  constructor(limit: number) {
    this.#limit = limit;
    this.#free = limit;
  }

  /** Nothing is done and nothing waits. */
  get unused(): boolean {
    return this.#free === this.#limit;
  }

  /** Waits for a place, does the work, gives the place on. Who aborts while waiting is forgotten at once. */
  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await this.#place(signal);
    try {
      signal.throwIfAborted();
      return await work();
    } finally {
      this.#leave();
    }
  }

  async #place(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.add(resolve);
    try {
      await abortable(promise, signal);
    } catch (error) {
      // The place may have come together with the abort.
      if (!this.#waiting.delete(resolve)) this.#leave();
      throw error;
    }
  }

  #leave(): void {
    const [next] = this.#waiting;
    if (next) {
      this.#waiting.delete(next);
      next();
    } else this.#free += 1;
  }
}
