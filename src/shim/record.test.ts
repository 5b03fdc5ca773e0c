import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseExitRecord, parsePidRecord, writePidRecord } from "./record.ts";

const EXIT = "4758495401000000890000000900000015cd5b07000000000100000063000000";

test("an exit record is read", () => {
  assert.deepEqual(parseExitRecord(Buffer.from(EXIT, "hex")), {
    exitCode: 137,
    signal: 9,
    exitedAtNs: 123456789n,
    oomKilled: true,
    shimLost: false,
  });
});

test("a later version's longer record is read", () => {
  assert.equal(parseExitRecord(Buffer.from(`${EXIT}ffff`, "hex")).exitCode, 137);
});

test("a record that is cut short or of another kind is refused", () => {
  for (const hex of ["", "47", EXIT.slice(0, -2), `00${EXIT.slice(2)}`]) {
    assert.throws(() => parseExitRecord(Buffer.from(hex, "hex")), { kind: "data-loss" });
  }
  assert.throws(() => parsePidRecord(Buffer.from(EXIT, "hex")), { kind: "data-loss" });
});

const PID = "47504944010000000a0000000b000000e8030000000000004c04000000000000";
const PIDS = { shimPid: 10, shimStartTime: 1000, initPid: 11, initStartTime: 1100 };

test("a pid record is read", () => {
  assert.deepEqual(parsePidRecord(Buffer.from(PID, "hex")), PIDS);
});

test("a pid record is written as the shim writes it", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "gantry-record-"));
  t.after(() => rmSync(directory, { recursive: true }));
  writePidRecord(directory, PIDS);
  assert.equal(readFileSync(join(directory, "pid"), "hex"), PID);
  assert.deepEqual(readdirSync(directory), ["pid"]);
});
