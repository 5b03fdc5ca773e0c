/** Signal names and numbers, real-time ones included ("SIGRTMIN+3"), see signal(7). */
import { constants } from "node:os";
import { GantryError } from "../base/errors.ts";

const SIGRTMIN = 34;
const SIGRTMAX = 64;

/**
 * The number of a signal given as "SIGTERM", "TERM", "15", "SIGRTMIN+3" or "SIGRTMAX-1", in any case.
 * @throws invalid-argument for anything else.
 */
export function signalNumber(name: string): number {
  const upper = name.trim().toUpperCase();
  if (/^\d+$/.test(upper)) {
    const number = Number(upper);
    if (number >= 1 && number <= SIGRTMAX) return number;
  } else {
    const short = upper.replace(/^SIG/, "");
    const realTime = /^RT(MIN|MAX)(?:([+-])(\d+))?$/.exec(short);
    if (realTime) {
      const base = realTime[1] === "MIN" ? SIGRTMIN : SIGRTMAX;
      const number = base + (realTime[2] === "-" ? -1 : 1) * Number(realTime[3] ?? 0);
      if (number >= SIGRTMIN && number <= SIGRTMAX) return number;
    }
    if (short === "CLD") return constants.signals.SIGCHLD;
    const number = constants.signals[`SIG${short}` as NodeJS.Signals];
    if (number !== undefined) return number;
  }
  throw new GantryError("invalid-argument", `signal ${JSON.stringify(name)} is unknown`);
}

/** The "SIGTERM" form of whatever signalNumber takes. Numbers without a name stay real-time ones. */
export function signalName(name: string): string {
  const number = signalNumber(name);
  for (const [known, value] of Object.entries(constants.signals)) if (value === number) return known;
  if (number === SIGRTMIN) return "SIGRTMIN";
  if (number === SIGRTMAX) return "SIGRTMAX";
  return number - SIGRTMIN <= SIGRTMAX - number
    ? `SIGRTMIN+${number - SIGRTMIN}`
    : `SIGRTMAX-${SIGRTMAX - number}`;
}
