/**
 * The wall clock with nanoseconds, and never the same reading twice, so that creation times sort.
 *
 * It is the kernel's, not one that goes on from the process's start by the monotonic clock: that one is some
 * milliseconds off, and times of the daemon stand beside those that shims have read.
 */
import { realTimeNs } from "../native/clock.ts";

let lastNs = 0n;

/** Nanoseconds since the epoch; strictly increasing within this process. */
export function wallClockNs(): bigint {
  const now = realTimeNs();
  lastNs = now > lastNs ? now : lastNs + 1n;
  return lastNs;
}
