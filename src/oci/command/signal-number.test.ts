import assert from "node:assert/strict";
import { test } from "node:test";
import { GantryError } from "../../base/errors.ts";
import { signalNumber } from "./signal-number.ts";

test("names with and without prefix, numbers, real-time signals", () => {
  const cases = {
    "9": 9,
    KILL: 9,
    SIGKILL: 9,
    sigterm: 15,
    "0": 0,
    SIGRTMIN: 34,
    "RTMIN+3": 37,
    "SIGRTMAX-1": 63,
    "64": 64,
  };
  for (const [text, number] of Object.entries(cases)) assert.equal(signalNumber(text), number, text);
  for (const text of ["", "65", "-1", "SIGNOTHING", "RTMIN-1", "RTMAX+1", "9x", "SIG"])
    assert.throws(() => signalNumber(text), GantryError, text);
});
