import assert from "node:assert/strict";
import { test } from "node:test";
import { CleanupStack, runAll } from "./cleanup.ts";

test("clean-ups run last in, first out, all of them, when the block fails", async () => {
  const order: string[] = [];
  const failed: string[] = [];
  const attempt = async (): Promise<void> => {
    await using undo = new CleanupStack((name) => failed.push(name));
    undo.push("one", () => void order.push("one"));
    undo.push("two", () => Promise.reject(new Error("stuck")));
    undo.push("three", () => void order.push("three"));
    throw new Error("broken");
  };
  await assert.rejects(attempt, /broken/);
  assert.deepEqual(order, ["three", "one"]);
  assert.deepEqual(failed, ["two"]);
});

test("a disarmed stack undoes nothing", async () => {
  let undone = false;
  {
    await using undo = new CleanupStack(() => undefined);
    undo.push("one", () => void (undone = true));
    undo.disarm();
  }
  assert.equal(undone, false);
});

test("runAll runs every step and names each failure", async () => {
  const ran: number[] = [];
  const steps = [
    { name: "first", step: () => Promise.reject(new Error("a")) },
    { name: "second", step: () => void ran.push(2) },
    { name: "third", step: () => Promise.reject(new Error("b")) },
  ];
  await assert.rejects(runAll(steps), /first: a; third: b/);
  assert.deepEqual(ran, [2]);
});
