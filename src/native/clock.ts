/** The addon's part "clock": the kernel's wall clock, the same that a shim reads for the time of an exit. */
import { addon } from "./addon.ts";

const native = addon as { realTimeNs: () => bigint };

/** Nanoseconds since the epoch. It goes back when somebody sets the clock. */
export function realTimeNs(): bigint {
  return native.realTimeNs();
}
