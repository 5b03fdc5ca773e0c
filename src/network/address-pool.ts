/**
 * Which hosts of a subnet are taken: one bit each, handed out in turn. The search goes on after the last address
 * given, so that one just released comes back only when the rest of the subnet has been used: peers' neighbour and
 * connection tables have forgotten it by then.
 *
 * Hosts are numbers, indexes into the subnet; with two subnets a pod has the same index in both. In memory only: the
 * durable record is bridge-lease.ts.
 */
import { GantryError } from "../base/errors.ts";

/** More hosts than this are never needed on one machine: 65536, a /16. */
const LIMIT_HOSTS = 65_536;

export class AddressPool {
  readonly #first: number;
  readonly #last: number;
  readonly #bits: Uint32Array;
  #next: number;
  #used = 0;

  /** @param first,last the hosts that may be handed out, both inclusive. */
  constructor(first: number, last: number) {
    this.#first = first;
    this.#last = Math.min(last, first + LIMIT_HOSTS - 1);
    this.#bits = new Uint32Array((this.#last >>> 5) + 1);
    this.#next = first;
  }

  get used(): number {
    return this.#used;
  }

  get capacity(): number {
    return Math.max(0, this.#last - this.#first + 1);
  }

  /** @throws GantryError resource-exhausted. */
  allocate(): number {
    for (let step = 0; this.#used < this.capacity && step < this.capacity; step++) {
      const host = this.#first + ((this.#next - this.#first + step) % this.capacity);
      if (this.take(host)) return host;
    }
    throw new GantryError(
      "resource-exhausted",
      `no free address: all ${this.capacity} of the subnet are in use`,
    );
  }

  /** Marks one host as taken, and goes on after it; false when it is taken already or outside. */
  take(host: number): boolean {
    if (host < this.#first || host > this.#last || this.isTaken(host)) return false;
    this.#bits[host >>> 5] = (this.#bits[host >>> 5] ?? 0) | (1 << (host & 31));
    this.#used += 1;
    this.#next = host === this.#last ? this.#first : host + 1;
    return true;
  }

  /** Releasing what is free is no error. */
  release(host: number): void {
    if (!this.isTaken(host)) return;
    this.#bits[host >>> 5] = (this.#bits[host >>> 5] ?? 0) & ~(1 << (host & 31));
    this.#used -= 1;
  }

  isTaken(host: number): boolean {
    return ((this.#bits[host >>> 5] ?? 0) & (1 << (host & 31))) !== 0;
  }
}
