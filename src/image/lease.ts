/**
 * Leases: what pulls under way need, so that collection leaves it alone.
 *
 * A pull holds a thing before it looks whether the thing is there. Collection takes the thing's lock, looks
 * whether anybody holds it, and deletes it under the lock; whoever makes or looks for it takes the same lock. So
 * nothing is deleted between being seen and being used.
 */
import type { Digest } from "../base/digest.ts";
import { KeyedMutex } from "../base/mutex.ts";

/** A blob, an unpacked layer (diffID), or a committed snapshot (chainID). */
export type LeaseKey = `${"blob" | "layer" | "chain"} ${Digest}`;

export class Leases {
  readonly #holders = new Map<LeaseKey, number>();
  readonly #mutex = new KeyedMutex();

  /** Starts a lease that holds nothing yet. */
  begin(): Lease {
    return new Lease(this.#holders);
  }

  isHeld(key: LeaseKey): boolean {
    return this.#holders.has(key);
  }

  /** Runs the work while nobody else looks for, makes or deletes this thing. */
  async exclusive<T>(key: LeaseKey, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    return await this.#mutex.run(key, signal, work);
  }
}

export class Lease implements Disposable {
  readonly #holders: Map<LeaseKey, number>;
  readonly #keys = new Set<LeaseKey>();

  constructor(holders: Map<LeaseKey, number>) {
    this.#holders = holders;
  }

  /** Holds it until the lease is disposed of. Idempotent. */
  hold(key: LeaseKey): void {
    if (this.#keys.has(key)) return;
    this.#keys.add(key);
    this.#holders.set(key, (this.#holders.get(key) ?? 0) + 1);
  }

  [Symbol.dispose](): void {
    for (const key of this.#keys) {
      const left = (this.#holders.get(key) ?? 0) - 1;
      if (left > 0) this.#holders.set(key, left);
      else this.#holders.delete(key);
    }
    this.#keys.clear();
  }
}
