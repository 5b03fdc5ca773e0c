import assert from "node:assert/strict";
import { test } from "node:test";
import { openFilesLimit } from "./open-files-limit.ts";

const text = (soft: string, hard: string): string =>
  `Limit  Soft Limit  Hard Limit  Units\nMax open files            ${soft}              ${hard}              files\n`;

test("the soft limit is that from before Node, never above the hard one", () => {
  const limit = (before: string | undefined, hard: string) =>
    openFilesLimit(before === undefined ? {} : { GANTRY_OPEN_FILES: before }, text("524288", hard));
  assert.deepEqual(limit("4096", "524288"), { soft: 4096, hard: 524_288 });
  assert.deepEqual(limit("4096", "2048"), { soft: 2048, hard: 2048 });
  for (const before of [undefined, "", "unlimited"])
    assert.deepEqual(limit(before, "524288"), { soft: 1024, hard: 524_288 });
  assert.equal(limit("4096", "unlimited"), undefined);
});

test("the kernel's own text is understood", () => {
  assert.ok((openFilesLimit()?.hard ?? 0) > 0);
});
