/**
 * Equal calls that are under way at once share one execution and its result.
 *
 * This is how a repeated RunPodSandbox joins the running one instead of finding its name reserved, and how two
 * pulls of one image download it once. The work gets a signal that aborts when every caller has gone.
 */
import { abortable } from "./abort.ts";

export class SingleFlight<T> {
  readonly #flights = new Map<string, { result: Promise<T>; controller: AbortController; waiters: number }>();

  /** Joins the running call of this key, or starts it. Rejects at once when the caller's own signal aborts. */
  async do(key: string, signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    let flight = this.#flights.get(key);
    if (!flight) {
      const controller = new AbortController();
      const result = work(controller.signal);
      const started = { result, controller, waiters: 0 };
      flight = started;
      this.#flights.set(key, started);
      const forget = (): void => {
        if (this.#flights.get(key) === started) this.#flights.delete(key);
      };
      result.then(forget, forget);
    }
    const joined = flight;
    joined.waiters += 1;
    try {
      return await abortable(joined.result, signal);
    } finally {
      joined.waiters -= 1;
      if (joined.waiters === 0 && this.#flights.get(key) === joined) {
        this.#flights.delete(key);
        joined.controller.abort(signal.reason);
      }
    }
  }

  has(key: string): boolean {
    return this.#flights.has(key);
  }
}
