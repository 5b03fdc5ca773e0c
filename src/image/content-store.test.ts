import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { digestHex } from "../base/digest.ts";
import { FileContentStore } from "./content-store-files.ts";
import { sha256 } from "./registry/fake-registry.ts";

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "gantry-content-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const BYTES = Buffer.from("a blob");
const DIGEST = sha256(BYTES);

test("a written blob is there, verified, private, and survives a restart", async (t) => {
  const root = directory(t);
  const store = new FileContentStore(root);
  await store.write(DIGEST, BYTES);
  await store.write(DIGEST, BYTES);
  for (const each of [store, new FileContentStore(root)]) {
    assert.equal(each.has(DIGEST), true);
    assert.deepEqual(await each.read(DIGEST, 100), BYTES);
    assert.deepEqual(each.list(), [{ digest: DIGEST, sizeBytes: BYTES.length }]);
  }
  assert.equal(statSync(join(root, "blobs/sha256", digestHex(DIGEST))).mode & 0o777, 0o600);
  assert.equal(statSync(join(root, "blobs")).mode & 0o777, 0o700);
  assert.deepEqual(readdirSync(join(root, "ingest")), []);
  await store.remove(DIGEST);
  await store.remove(DIGEST);
  assert.equal(await store.read(DIGEST, 100), undefined);
  assert.deepEqual(readdirSync(join(root, "blobs/sha256")), []);
});

test("bytes of another digest are refused and leave nothing", async (t) => {
  const root = directory(t);
  const store = new FileContentStore(root);
  await assert.rejects(store.write(DIGEST, Buffer.from("other")), { kind: "data-loss" });
  assert.equal(store.has(DIGEST), false);
  assert.deepEqual(readdirSync(join(root, "ingest")), []);
});

test("damage on disk is noticed, and a limit is kept", async (t) => {
  const root = directory(t);
  const store = new FileContentStore(root);
  await store.write(DIGEST, BYTES);
  await assert.rejects(store.read(DIGEST, BYTES.length - 1), { kind: "resource-exhausted" });
  writeFileSync(join(root, "blobs/sha256", digestHex(DIGEST)), "b blob");
  await assert.rejects(store.read(DIGEST, 100), { kind: "data-loss" });
});

test("what a crash left in ingest is deleted, and foreign names are ignored", (t) => {
  const root = directory(t);
  const first = new FileContentStore(root);
  const { path } = first.ingest();
  writeFileSync(path, "half");
  writeFileSync(join(root, "blobs/sha256/README"), "x");
  const second = new FileContentStore(root);
  assert.equal(existsSync(path), false);
  assert.deepEqual(second.list(), []);
});

test("an ingest becomes a blob at commit, or nothing at abort", async (t) => {
  const store = new FileContentStore(directory(t));
  const kept = store.ingest();
  writeFileSync(kept.path, BYTES);
  assert.equal(store.has(DIGEST), false);
  await kept.commit(DIGEST);
  await kept.abort();
  assert.deepEqual(await store.read(DIGEST, 100), BYTES);
  const dropped = store.ingest();
  writeFileSync(dropped.path, BYTES);
  await dropped.abort();
  assert.equal(existsSync(dropped.path), false);
});
