/**
 * Who did not answer `Synchronize` in time: every event waited for it. One that comes back at once, to hang again, would
 * hold up the pods of the node for good; so it has to stay away, longer each time.
 */

const LONGEST_MS = 300_000;
const MAX_NAMES = 128;

export class HungPlugins {
  readonly #shortestMs: number;
  readonly #now: () => number;
  readonly #away = new Map<string, { restMs: number; untilMs: number }>();

  /** @param shortestMs after the first time; doubled with each further one. */
  constructor(shortestMs: number, now = () => performance.now()) {
    this.#shortestMs = shortestMs;
    this.#now = now;
  }

  /** Of a plugin's name without the index, which may change. */
  hung(base: string): void {
    const before = this.#away.get(base)?.restMs ?? this.#shortestMs / 2;
    const restMs = Math.min(2 * before, LONGEST_MS);
    this.#away.delete(base);
    this.#away.set(base, { restMs, untilMs: this.#now() + restMs });
    // Names are the plugins' own: no more are kept than there can be plugins.
    for (const oldest of this.#away.keys()) if (this.#away.size > MAX_NAMES) this.#away.delete(oldest);
  }

  answered(base: string): void {
    this.#away.delete(base);
  }

  /** How long it has to stay away, in milliseconds; 0: it may come. */
  restMs(base: string): number {
    return Math.max(0, (this.#away.get(base)?.untilMs ?? 0) - this.#now());
  }
}
