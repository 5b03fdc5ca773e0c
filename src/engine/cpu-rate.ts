/**
 * The rate of processor use, from readings that are taken when someone asks: no timer runs, and one earlier reading is
 * all that is kept. So the rate is that since the poll before, for a kubelet the last ten seconds; and the first one
 * that since the start.
 */

/** Polls nearer to each other share a rate: a shorter time says little. */
const WINDOW_NS = 500_000_000n;

export class CpuRate {
  #atNs: bigint;
  #usageNs: bigint;
  #nanoCores: bigint | undefined;

  /** The reading before the first, for example of nothing used at the start. Times are since the epoch. */
  constructor(atNs: bigint, usageNs: bigint) {
    this.#atNs = atNs;
    this.#usageNs = usageNs;
  }

  /** Nanoseconds of processor time for each second since an earlier reading; undefined where no time has passed. */
  next(atNs: bigint, usageNs: bigint): bigint | undefined {
    const elapsedNs = atNs - this.#atNs;
    // A clock that was set back begins anew.
    if (elapsedNs < -WINDOW_NS) this.#remember(atNs, usageNs);
    if (elapsedNs <= 0n || (elapsedNs < WINDOW_NS && this.#nanoCores !== undefined)) return this.#nanoCores;
    const usedNs = usageNs > this.#usageNs ? usageNs - this.#usageNs : 0n;
    const nanoCores = (usedNs * 1_000_000_000n) / elapsedNs;
    if (elapsedNs >= WINDOW_NS) {
      this.#nanoCores = nanoCores;
      this.#remember(atNs, usageNs);
    }
    return nanoCores;
  }

  #remember(atNs: bigint, usageNs: bigint): void {
    this.#atNs = atNs;
    this.#usageNs = usageNs;
  }
}
