/** The record store on a disk without a free block. Needs root, for a filesystem of its own. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { openRecordStore, type RecordStore } from "./record-store.ts";

const COUNT = 3000;
const record = { layers: Array<string>(10).fill(`sha256:${"a".repeat(64)}`) };

interface SmallDisk {
  directory: string;
  path: string;
  /** Closed at the end of the test, or at the next `open`. */
  open(): RecordStore;
}

function smallDisk(t: TestContext): SmallDisk {
  const directory = mkdtempSync(join(tmpdir(), "gantry-full-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=24m,mode=700", "gantry-test", directory]);
  const path = join(directory, "images.db");
  let store: RecordStore | undefined;
  t.after(() => {
    store?.close();
    execFileSync("umount", [directory]);
    rmSync(directory, { recursive: true });
  });
  const open = (): RecordStore => {
    store?.close();
    return (store = openRecordStore(path, "power-loss"));
  };
  return { directory, path, open };
}

/** Takes every byte that is left. */
function fill(directory: string): void {
  for (let bytes = 1 << 20; bytes >= 1; bytes >>= 1) {
    try {
      for (;;) appendFileSync(join(directory, "filling"), Buffer.alloc(bytes));
    } catch {
      // Smaller pieces may still go in.
    }
  }
}

function populate(store: RecordStore): void {
  const table = store.table("images");
  store.transaction(() => {
    for (let i = 0; i < COUNT; i += 1) table.put(String(i), record);
  });
}

test("everything can be removed from a full disk", (t) => {
  const { directory, open } = smallDisk(t);
  const store = open();
  populate(store);
  fill(directory);
  const table = store.table("images");
  // Each in a transaction of its own: far more than the reserve has room for.
  for (let i = 0; i < COUNT; i += 1) store.transaction(() => table.delete(String(i)));
  assert.deepEqual(table.list(), []);
});

test("a store opens and removes after a stop on a full disk", (t) => {
  const { directory, path, open } = smallDisk(t);
  populate(open());
  open();
  assert.ok(existsSync(`${path}-reserve`));
  fill(directory);
  const table = open().table("images");
  for (let i = 0; i < COUNT; i += 1) table.delete(String(i));
  assert.deepEqual(table.list(), []);
});

test("what does not fit is refused and leaves nothing, and the reserve comes back with the room", (t) => {
  const { directory, path, open } = smallDisk(t);
  populate(open());
  fill(directory);
  const store = open();
  const table = store.table("images");
  const addMany = (): void => {
    for (let i = 0; i < 5 * COUNT; i += 1) table.put(`new ${i}`, record);
  };
  assert.throws(() => store.transaction(addMany), { kind: "resource-exhausted", message: /no room/ });
  assert.equal(table.list().length, COUNT);
  assert.ok(!existsSync(`${path}-reserve`));
  rmSync(join(directory, "filling"));
  open().table("images").put("x", record);
  assert.ok(existsSync(`${path}-reserve`));
});
