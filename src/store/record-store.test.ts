import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { openRecordStore } from "./record-store.ts";

const directory = mkdtempSync(join(tmpdir(), "gantry-store-"));
after(() => rmSync(directory, { recursive: true }));

test("records survive closing and opening, and are listed by id", () => {
  const path = join(directory, "a/records.db");
  const first = openRecordStore(path, "power-loss");
  const table = first.table<{ n: number }>("things");
  table.put("b", { n: 2 });
  table.put("a", { n: 1 });
  table.put("b", { n: 3 });
  table.delete("absent");
  first.close();
  const second = openRecordStore(path, "crash");
  assert.deepEqual(second.table("things").list(), [
    { id: "a", record: { n: 1 } },
    { id: "b", record: { n: 3 } },
  ]);
  assert.equal(second.table("things").get("c"), undefined);
  second.close();
});

test("a transaction that throws leaves nothing, a nested one belongs to the outer", () => {
  const store = openRecordStore(join(directory, "t.db"), "crash");
  const table = store.table<number>("numbers");
  assert.throws(() =>
    store.transaction(() => {
      table.put("x", 1);
      store.transaction(() => table.put("y", 2));
      throw new Error("broken");
    }),
  );
  assert.deepEqual(table.list(), []);
  store.transaction(() => table.put("x", 1));
  assert.equal(table.get("x"), 1);
  store.close();
});

test("the file is the owner's only", () => {
  const path = join(directory, "m.db");
  openRecordStore(path, "crash").close();
  assert.equal(statSync(path).mode & 0o077, 0);
});

test("a file of a later schema is refused and left alone", () => {
  const path = join(directory, "later.db");
  openRecordStore(path, "crash").close();
  const raw = new DatabaseSync(path);
  raw.exec("PRAGMA user_version = 99");
  raw.close();
  assert.throws(() => openRecordStore(path, "crash"), { kind: "failed-precondition" });
});

test("integers of 64 bits are kept exactly", () => {
  const store = openRecordStore(join(directory, "big.db"), "crash");
  const table = store.table<object>("big");
  table.put("a", { value: 2n ** 64n - 1n, list: [1n], text: "$bigint" });
  assert.deepEqual(table.get("a"), { value: 2n ** 64n - 1n, list: [1n], text: "$bigint" });
  store.close();
});

test("text from outside that looks like the store's own notation stays what it is", () => {
  const path = join(directory, "notation.db");
  const first = openRecordStore(path, "crash");
  const records = [
    { labels: { $bigint: "x" } },
    { labels: { $bigint: "12", other: "y" } },
    { $bigint: [["a", 1n]], deep: [{ $bigint: { $bigint: "7" } }, 2n ** 60n] },
    JSON.parse('{"__proto__": "p", "$bigint": "q"}') as object,
  ];
  for (const [index, record] of records.entries()) first.table("images").put(String(index), record);
  first.close();
  const second = openRecordStore(path, "crash");
  assert.deepEqual(
    second.table("images").list(),
    records.map((record, index) => ({ id: String(index), record })),
  );
  second.close();
});
