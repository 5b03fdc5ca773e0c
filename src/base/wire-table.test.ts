import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  decodeRecord,
  encodeRecord,
  peekRecord,
  wireFingerprint,
  wireLayout,
  type WireTable,
} from "./wire-table.ts";

const TABLE = {
  name: "sample",
  doc: "",
  constants: { flags: { one: 1 } },
  records: {
    all: {
      code: 7,
      doc: "",
      fields: {
        small: ["u32", ""],
        large: ["u64", ""],
        signed: ["i32", ""],
        text: ["string", ""],
        blob: ["bytes", ""],
        list: ["strings", ""],
      },
    },
    empty: { code: 8, doc: "", fields: {} },
  },
} as const satisfies WireTable;

const { all } = TABLE.records;
const VALUES = {
  small: 0xfffffffe,
  large: 2n ** 64n - 1n,
  signed: -3,
  text: "grün",
  blob: Uint8Array.of(0, 1, 0),
  list: ["a", "", "bc"],
};

describe("a wire record", () => {
  test("has the layout that a C compiler gives it", () => {
    const { fields, fixedBytes } = wireLayout(all);
    assert.deepEqual(
      fields.map((field) => field.offset),
      [8, 16, 24, 28, 36, 44],
    );
    assert.equal(fixedBytes, 56);
  });

  test("is these bytes", () => {
    const bytes = encodeRecord(all, VALUES);
    assert.equal(
      bytes.toString("hex"),
      "0700380048000000" + // code 7, fields end at 56, length 72
        "feffffff00000000" +
        "ffffffffffffffff" +
        "fdffffff" +
        "3800000005000000" + // text: 5 bytes at 56
        "3e00000003000000" + // blob: 3 bytes at 62
        "420000000600000003000000" + // list: 6 bytes at 66, 3 strings
        "6772c3bc6e00" +
        "00010000" +
        "6100006263" +
        "00",
    );
    assert.deepEqual(peekRecord(bytes), { code: 7, length: 72 });
    assert.deepEqual(decodeRecord(all, bytes), VALUES);
  });

  test("of a shorter table reads as zeros, of a longer one without what is unknown", () => {
    const shorter = encodeRecord(TABLE.records.empty, {});
    assert.deepEqual(decodeRecord(all, shorter), {
      small: 0,
      large: 0n,
      signed: 0,
      text: "",
      blob: new Uint8Array(),
      list: [],
    });
    assert.deepEqual(decodeRecord(TABLE.records.empty, encodeRecord(all, VALUES)), {});
  });

  test("refuses what it cannot hold", () => {
    assert.throws(() => encodeRecord(all, { ...VALUES, small: -1 }), { kind: "invalid-argument" });
    assert.throws(() => encodeRecord(all, { ...VALUES, large: 2n ** 64n }), { kind: "invalid-argument" });
    assert.throws(() => encodeRecord(all, { ...VALUES, text: "a\0b" }), { kind: "invalid-argument" });
    assert.throws(() => encodeRecord(all, { ...VALUES, list: ["a\0"] }), { kind: "invalid-argument" });
  });

  test("with any byte of its offsets changed is decoded or refused, never read beyond its end", () => {
    const bytes = encodeRecord(all, VALUES);
    let refused = 0;
    for (let index = 0; index < 56; index++) {
      const changed = Buffer.from(bytes);
      changed[index] = 0xee;
      try {
        decodeRecord(all, changed);
      } catch (error) {
        assert.equal((error as { kind?: string }).kind, "data-loss");
        refused++;
      }
    }
    assert.ok(refused > 20);
    assert.throws(() => decodeRecord(all, bytes.subarray(0, 71)), { kind: "data-loss" });
  });
});

test("a fingerprint changes with a field, not with a comment", () => {
  const changed = (fields: WireTable["records"][string]["fields"]): number =>
    wireFingerprint({
      ...TABLE,
      records: { ...TABLE.records, empty: { code: 8, doc: "new words", fields } },
    });
  assert.equal(changed({}), wireFingerprint(TABLE));
  assert.notEqual(changed({ more: ["u32", ""] }), wireFingerprint(TABLE));
});
