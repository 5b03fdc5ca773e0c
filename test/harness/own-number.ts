/**
 * Numbers that no other test of this machine has at the time, for what a host has only once: subnets, ports. Test files
 * run beside each other, and of those that choose at random two choose the same one day. A number is taken by locking
 * the file of its name, and given back with the process, however that ends.
 */
import { randomInt } from "node:crypto";
import { closeSync, constants, mkdirSync, openSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tryFileLock } from "../../src/native/notify.ts";

const { O_CREAT, O_RDWR } = constants;
const directory = join(tmpdir(), "gantry-test-numbers");

/** @param kind what it is a number of. @returns one from `first` on and below `end`. */
export function ownNumber(kind: string, first: number, end: number): number {
  mkdirSync(directory, { recursive: true });
  const start = randomInt(end - first);
  for (let n = 0; n < end - first; n++) {
    const number = first + ((start + n) % (end - first));
    if (take(join(directory, `${kind}-${number}`))) return number;
  }
  throw new Error(`every ${kind} is taken: see ${directory}`);
}

/** The file stays: whoever removed it could take it from one who has just locked it. */
function take(path: string): boolean {
  const fd = openSync(path, O_RDWR | O_CREAT, 0o600);
  if (tryFileLock(fd)) return true;
  closeSync(fd);
  return false;
}
