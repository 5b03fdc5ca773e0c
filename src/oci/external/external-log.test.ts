import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { runtimeLogMessage, runtimeMessage } from "./external-log.ts";

test("the last error counts, in whichever form it is written", () => {
  const json = (level: string, msg: string): string => JSON.stringify({ level, msg, time: "t" });
  assert.equal(runtimeMessage(`${json("error", "first")}\n${json("error", "last")}\n`), "last");
  assert.equal(runtimeMessage(`${json("error", "it")}\n${json("warning", "but")}\n`), "it");
  assert.equal(runtimeMessage(`{"msg":"crun without a level"}`), "crun without a level");
  assert.equal(
    runtimeMessage(`time="2026" level=error msg="exec: \\"x\\": not found"\n`),
    `exec: "x": not found`,
  );
  assert.equal(runtimeMessage(`time="2026" level=warning msg=careful\nplain text\n`), "plain text");
  assert.equal(runtimeMessage(`${json("fatal", "it")}\nplain text\n`), "it");
});

test("what says nothing is nothing, and what says much is cut", () => {
  for (const text of ["", "\n\n", `{"level":"warning","msg":"x"}`, `time="2026" level=info msg=x`])
    assert.equal(runtimeMessage(text), undefined, text);
  assert.equal(runtimeMessage("{broken\n"), "{broken");
  assert.equal(runtimeMessage(`{"level":"error","msg":7}`), `{"level":"error","msg":7}`);
  assert.equal(runtimeMessage("a\u001b[31m\u0000b"), "a [31m b");
  assert.equal(runtimeMessage("x".repeat(5000))?.length, 1025);
});

test("of a log file the end is read, and one that is missing says nothing", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "gantry-log-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "log");
  writeFileSync(path, `${"noise\n".repeat(50_000)}{"level":"error","msg":"the end"}\n`);
  assert.equal(await runtimeLogMessage(path), "the end");
  assert.equal(await runtimeLogMessage(join(directory, "none")), undefined);
  assert.equal(await runtimeLogMessage(directory), undefined);
});
