/** Writing to standard output. Node's own object for it loads its networking, which takes longer than a command. */
import { writeSync } from "node:fs";
import { errnoCode } from "../../base/errors.ts";

const RETRY_MS = 1;
const pause = new Int32Array(new SharedArrayBuffer(4));

/** Returns when all of it is written. @throws an Error with code EPIPE where nobody reads any more. */
export function print(text: string): void {
  let rest = Buffer.from(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      // A full pipe that somebody has set not to block.
      if (errnoCode(error) !== "EAGAIN") throw error;
      Atomics.wait(pause, 0, 0, RETRY_MS);
    }
  }
}
