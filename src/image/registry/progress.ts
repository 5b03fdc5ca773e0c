/**
 * Watches a pull for progress: when a limit passes in which the pull waited for its registry all the time and received
 * nothing, its signal aborts.
 *
 * A request that hangs is cut off and made again before that (transport.ts); this is the bound on all of them
 * together. Time in which bytes wait for us, because the disk is slow, does not count.
 */
import { GantryError } from "../../base/errors.ts";

export class ProgressWatch implements Disposable {
  readonly #limitMs: number;
  readonly #stalled = new AbortController();
  #waiting = 0;
  #lastMs = performance.now();
  #timer: NodeJS.Timeout;

  constructor(limitMs: number) {
    this.#limitMs = limitMs;
    this.#timer = this.#check(limitMs);
  }

  /** Aborts with an error of kind unavailable. */
  get signal(): AbortSignal {
    return this.#stalled.signal;
  }

  /** The pull waits for this answer of a host. */
  async untilAnswer<T>(answer: Promise<T>): Promise<T> {
    this.#begin();
    try {
      return await answer;
    } finally {
      this.#end();
    }
  }

  /** The same stream; the pull waits whenever its reader does. */
  async *during<T>(stream: AsyncIterable<T>): AsyncGenerator<T, void, void> {
    this.#begin();
    let waiting = true;
    try {
      for await (const chunk of stream) {
        this.#end();
        waiting = false;
        yield chunk;
        this.#begin();
        waiting = true;
      }
    } finally {
      if (waiting) this.#end();
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #begin(): void {
    if (this.#waiting === 0) this.#lastMs = performance.now();
    this.#waiting += 1;
  }

  /** With an answer, with a piece of it, or with a failure. */
  #end(): void {
    this.#lastMs = performance.now();
    this.#waiting -= 1;
  }

  #check(delayMs: number): NodeJS.Timeout {
    return setTimeout(() => {
      const quietMs = this.#waiting > 0 ? performance.now() - this.#lastMs : 0;
      if (quietMs < this.#limitMs) this.#timer = this.#check(this.#limitMs - quietMs);
      else
        this.#stalled.abort(
          new GantryError(
            "unavailable",
            `the registry has sent nothing for ${Math.round(this.#limitMs / 1000)} s`,
          ),
        );
    }, delayMs).unref();
  }
}
