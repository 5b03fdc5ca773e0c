import assert from "node:assert/strict";
import { test } from "node:test";
import { AddressPool } from "./address-pool.ts";

test("addresses go round: one that is released comes back last", () => {
  const pool = new AddressPool(2, 6);
  assert.deepEqual([pool.allocate(), pool.allocate()], [2, 3]);
  pool.release(2);
  pool.release(3);
  assert.deepEqual(
    [1, 2, 3, 4, 5].map(() => pool.allocate()),
    [4, 5, 6, 2, 3],
  );
  assert.throws(() => pool.allocate(), { kind: "resource-exhausted" });
  pool.release(5);
  assert.equal(pool.allocate(), 5);
});

test("taken addresses are left out, and the turn goes on after them", () => {
  const pool = new AddressPool(2, 10);
  assert.equal(pool.take(7), true);
  assert.equal(pool.take(7), false);
  assert.equal(pool.take(1), false);
  assert.equal(pool.take(11), false);
  assert.equal(pool.allocate(), 8);
  assert.equal(pool.used, 2);
  pool.release(7);
  pool.release(7);
  pool.release(99);
  assert.equal(pool.used, 1);
});

test("every address of a /16, each once", () => {
  const pool = new AddressPool(2, 65_534);
  const given = new Set(Array.from({ length: pool.capacity }, () => pool.allocate()));
  assert.deepEqual([given.size, Math.min(...given), Math.max(...given)], [65_533, 2, 65_534]);
  assert.throws(() => pool.allocate(), { kind: "resource-exhausted" });
});

test("a subnet of one host", () => {
  const pool = new AddressPool(2, 2);
  assert.equal(pool.allocate(), 2);
  pool.release(2);
  assert.equal(pool.allocate(), 2);
  assert.throws(() => new AddressPool(2, 1).allocate(), { kind: "resource-exhausted" });
});
