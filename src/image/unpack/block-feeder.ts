/**
 * Reads a source into blocks of one size for a worker, never more of them at once than it was given: small chunks cost
 * one message for many, the blocks are moved and not copied between the threads, and they come back to be filled again.
 */
export const BLOB_BLOCK_BYTES = 256 * 1024;

export class BlockFeeder {
  readonly #source: AsyncIterable<Uint8Array>;
  readonly #send: (block: ArrayBuffer, length: number) => void;
  readonly #free: ArrayBuffer[] = [];
  #unused: number;
  #waiting: (() => void) | undefined;
  readonly #stop = Promise.withResolvers<never>();
  #interrupt: ((reason: unknown) => void) | undefined;
  #stopReason: { reason: unknown } | undefined;

  constructor(
    source: AsyncIterable<Uint8Array>,
    options: { maxBlocks: number; send: (block: ArrayBuffer, length: number) => void },
  ) {
    this.#source = source;
    this.#send = options.send;
    this.#unused = options.maxBlocks;
    this.#stop.promise.catch(() => undefined);
  }

  /** Rejects with the reason when `stop` is called. */
  get stopped(): Promise<never> {
    return this.#stop.promise;
  }

  /** A block has come back. */
  consumed(block: ArrayBuffer): void {
    this.#free.push(block);
    this.#waiting?.();
  }

  /** Ends `run`, which rejects with the reason, and the source with it. Idempotent. */
  stop(reason: unknown): void {
    if (this.#stopReason) return;
    this.#stopReason = { reason };
    this.#stop.reject(reason);
    this.#interrupt?.(reason);
  }

  /** Resolves when the last block has been sent. @throws the source's error, or the reason of `stop`. */
  async run(): Promise<void> {
    const iterator = this.#source[Symbol.asyncIterator]();
    let finished = false;
    let block: ArrayBuffer | undefined;
    let filled = 0;
    try {
      for (;;) {
        const next = await this.#interruptible(iterator.next());
        if (next.done === true) break;
        const value = next.value;
        for (let at = 0; at < value.length;) {
          block ??= await this.#block();
          const taken = Math.min(value.length - at, BLOB_BLOCK_BYTES - filled);
          new Uint8Array(block, filled, taken).set(value.subarray(at, at + taken));
          at += taken;
          filled += taken;
          if (filled < BLOB_BLOCK_BYTES) continue;
          this.#send(block, filled);
          block = undefined;
          filled = 0;
        }
      }
      finished = true;
      if (block && filled > 0) this.#send(block, filled);
    } finally {
      if (!finished) this.#abandon(iterator);
    }
  }

  /** A source that is stuck in `next` would never see `return`, so a stream is destroyed as well. */
  #abandon(iterator: AsyncIterator<Uint8Array>): void {
    const source = this.#source as { destroy?: unknown };
    if (typeof source.destroy === "function") (source as { destroy(): void }).destroy();
    iterator.return?.().then(undefined, () => undefined);
  }

  async #interruptible<T>(promise: Promise<T>): Promise<T> {
    if (this.#stopReason) {
      promise.catch(() => undefined);
      throw this.#stopReason.reason;
    }
    return new Promise<T>((resolve, reject) => {
      this.#interrupt = reject;
      promise.then(resolve, reject);
    });
  }

  async #block(): Promise<ArrayBuffer> {
    const free = this.#free.pop();
    if (free) return free;
    if (this.#unused > 0) {
      this.#unused -= 1;
      return new ArrayBuffer(BLOB_BLOCK_BYTES);
    }
    await this.#interruptible(new Promise<void>((resolve) => (this.#waiting = resolve)));
    return this.#block();
  }
}
