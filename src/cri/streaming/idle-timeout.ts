/** Ends what has been idle for too long. Touching it is cheap: no timer is set anew for it. */

export class IdleTimeout {
  readonly #timeoutMs: number;
  readonly #onIdle: () => void;
  #touchedAtMs = performance.now();
  #timer: NodeJS.Timeout | undefined;

  /** @param timeoutMs 0: never. */
  constructor(timeoutMs: number, onIdle: () => void) {
    this.#timeoutMs = timeoutMs;
    this.#onIdle = onIdle;
    if (timeoutMs > 0) this.#wait(timeoutMs);
  }

  touch(): void {
    this.#touchedAtMs = performance.now();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #wait(ms: number): void {
    this.#timer = setTimeout(() => {
      const left = this.#touchedAtMs + this.#timeoutMs - performance.now();
      if (left > 0) this.#wait(left);
      else this.#onIdle();
    }, ms).unref();
  }
}
