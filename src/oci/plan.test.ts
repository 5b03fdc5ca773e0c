/** The table of the plan's operations itself: what the generated header cannot show. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PLAN_TABLE } from "./plan.ts";

test("each operation has a code of its own", () => {
  const byCode = Map.groupBy(Object.entries(PLAN_TABLE.records), ([, { code }]) => code);
  const shared = [...byCode.values()].filter(({ length }) => length > 1);
  assert.deepEqual(
    shared.map((operations) => operations.map(([name]) => name)),
    [],
  );
});
