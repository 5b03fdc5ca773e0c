/**
 * Numbers that no other test of this machine has at the time, for what a host has only once: subnets, ports. Test files
 * run beside each other, and of those that choose at random two choose the same one day. A number is taken by making
 * the file of its name, which says who has it, and given back at the end of the process.
 */
import { randomInt } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const directory = join(tmpdir(), "gantry-test-numbers");
const taken: string[] = [];
process.on("exit", () => taken.forEach((path) => rmSync(path, { force: true })));

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

function take(path: string): boolean {
  try {
    writeFileSync(path, String(process.pid), { flag: "wx" });
  } catch {
    // Of a process that was killed; it is free for the next who asks.
    if (existsSync(path) && hasEnded(Number(readFileSync(path, "utf8")))) rmSync(path, { force: true });
    return false;
  }
  taken.push(path);
  return true;
}

/** False for 0, which is in a file whose maker has not written yet. */
function hasEnded(pid: number): boolean {
  return pid > 0 && !existsSync(`/proc/${pid}`);
}
