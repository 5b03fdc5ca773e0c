import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { shimProtocolHeader } from "./protocol-header.ts";
import { FIELD_TABLE, MESSAGE_TABLE, OPTION_TABLE } from "./protocol.ts";

test("the C header is what the tables say", () => {
  const path = join(import.meta.dirname, "../../native/include/shim_protocol_generated.h");
  assert.equal(readFileSync(path, "utf8"), shimProtocolHeader());
});

test("no number is given twice", () => {
  for (const table of [MESSAGE_TABLE, FIELD_TABLE, OPTION_TABLE]) {
    const numbers = Object.values<readonly [number, string]>(table).map(([number]) => number);
    assert.equal(new Set(numbers).size, numbers.length);
  }
});
