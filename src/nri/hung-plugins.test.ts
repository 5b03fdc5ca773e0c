import assert from "node:assert/strict";
import { test } from "node:test";
import { HungPlugins } from "./hung-plugins.ts";

test("who hangs stays away, longer each time, until it has answered", () => {
  let now = 1000;
  const hung = new HungPlugins(10_000, () => now);
  assert.equal(hung.restMs("a"), 0);
  hung.hung("a");
  assert.equal(hung.restMs("a"), 10_000);
  assert.equal(hung.restMs("b"), 0);
  now += 10_000;
  assert.equal(hung.restMs("a"), 0);
  hung.hung("a");
  assert.equal(hung.restMs("a"), 20_000);
  for (let count = 0; count < 10; count++) hung.hung("a");
  assert.equal(hung.restMs("a"), 300_000);
  hung.answered("a");
  hung.hung("a");
  assert.equal(hung.restMs("a"), 10_000);
  for (let name = 0; name < 200; name++) hung.hung(`other-${name}`);
  assert.equal(hung.restMs("a"), 0);
  assert.equal(hung.restMs("other-199"), 10_000);
});
