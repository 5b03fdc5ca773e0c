/** The wall clock with nanoseconds, and never the same reading twice, so that creation times sort. */

/** What the monotonic clock read at the process's time origin. */
const monotonicOriginNs = process.hrtime.bigint() - BigInt(Math.round(performance.now() * 1e6));
const wallOriginNs = BigInt(Math.round(performance.timeOrigin * 1e3)) * 1000n;
/** A wall clock that was set differs by more than this from the one that the monotonic clock continues. */
const MAX_DRIFT_NS = 50_000_000n;

let lastNs = 0n;

/** Nanoseconds since the epoch; strictly increasing within this process. */
export function wallClockNs(): bigint {
  const coarse = BigInt(Date.now()) * 1_000_000n;
  const fine = wallOriginNs + process.hrtime.bigint() - monotonicOriginNs;
  const drift = fine > coarse ? fine - coarse : coarse - fine;
  const now = drift < MAX_DRIFT_NS ? fine : coarse;
  lastNs = now > lastNs ? now : lastNs + 1n;
  return lastNs;
}
