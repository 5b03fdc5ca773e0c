/** Signals by name or number, as `kill` takes them: "9", "KILL", "SIGKILL", "SIGRTMIN+3". */
import { constants } from "node:os";
import { GantryError } from "../../base/errors.ts";

const LAST = 64;
const RTMIN = 34;

/** @throws GantryError invalid-argument. */
export function signalNumber(text: string): number {
  const bad = (): never => {
    throw new GantryError("invalid-argument", `unknown signal ${JSON.stringify(text)}`);
  };
  if (/^\d+$/.test(text)) {
    const number = Number(text);
    return number <= LAST ? number : bad();
  }
  const name = text.toUpperCase().replace(/^(?!SIG)/, "SIG");
  const known = (constants.signals as Record<string, number | undefined>)[name];
  if (known !== undefined) return known;
  const [, base, offset = "0"] = /^SIG(RTMIN|RTMAX)([+-]\d+)?$/.exec(name) ?? [];
  if (base === undefined) return bad();
  const number = (base === "RTMIN" ? RTMIN : LAST) + Number(offset);
  return number >= RTMIN && number <= LAST ? number : bad();
}
