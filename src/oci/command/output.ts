/**
 * Writing to the standard streams. Node's own objects for them load its networking, which takes longer than a command,
 * leave the streams non-blocking for whoever shares them (the container first of all), and lose what a full pipe has not
 * taken when the process ends.
 */
import { writeSync } from "node:fs";
import { errnoCode } from "../../base/errors.ts";

const STDOUT = 1;
const STDERR = 2;
const RETRY_MS = 1;
const pause = new Int32Array(new SharedArrayBuffer(4));

/** Returns when all of it is written. @throws an Error with code EPIPE where nobody reads any more. */
export function print(text: string): void {
  write(STDOUT, text);
}

/** To standard error; where nobody reads that, to nobody. */
export function printError(text: string): void {
  try {
    write(STDERR, text);
  } catch {
    // The exit status tells that there was something.
  }
}

function write(descriptor: number, text: string): void {
  let rest = Buffer.from(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(descriptor, rest));
    } catch (error) {
      // A full pipe that somebody has set not to block.
      if (errnoCode(error) !== "EAGAIN") throw error;
      Atomics.wait(pause, 0, 0, RETRY_MS);
    }
  }
}
