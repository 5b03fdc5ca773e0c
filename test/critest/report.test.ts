import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { readReport } from "./report.ts";
import { countsLine, specTable } from "./table.ts";

function reportFile(t: TestContext, specs: object[]): string {
  const directory = mkdtempSync(join(tmpdir(), "gantry-report-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "report.json");
  const suite = { StartTime: "2026-01-01T00:00:00Z", RunTime: 2e9, SuiteConfig: { RandomSeed: 7 } };
  writeFileSync(path, JSON.stringify([{ ...suite, SpecReports: specs }]));
  return path;
}

function spec(text: string, state: string, message?: string, leaf = "It"): object {
  return {
    LeafNodeType: leaf,
    LeafNodeText: text,
    ContainerHierarchyTexts: text === "" ? null : ["[k8s.io] Group", "below"],
    State: state,
    RunTime: 1_500_000,
    ...(message === undefined ? {} : { Failure: { Message: message } }),
  };
}

test("specs with their names, groups, results and times", async (t) => {
  const path = reportFile(t, [
    spec("b [Conformance]", "passed"),
    spec("a", "skipped", "no such thing here"),
    spec("c", "skipped"),
    spec("d", "interrupted", "interrupted by the user"),
  ]);
  const { specs, seed, durationMs, startedAt } = await readReport(path);
  assert.deepEqual([seed, durationMs, startedAt], [7, 2000, "2026-01-01T00:00:00Z"]);
  assert.deepEqual(specs[0], {
    name: "[k8s.io] Group below b [Conformance]",
    group: "Group",
    title: "below b",
    result: "passed",
    durationMs: 1.5,
    message: "",
  });
  assert.deepEqual(
    specs.map(({ result }) => result),
    ["passed", "skipped", "filtered", "failed"],
  );
  assert.deepEqual(specTable(specs), [
    "",
    "Group",
    "  skipped   0.00 s  below a",
    `${" ".repeat(20)}no such thing here`,
    "  passed    0.00 s  below b",
    "  failed    0.00 s  below d",
    `${" ".repeat(20)}interrupted by the user`,
    "",
  ]);
  assert.equal(countsLine(specs), "1 passed, 1 failed, 1 skipped");
});

test("a failed preparation of the suite is a failure", async (t) => {
  const path = reportFile(t, [
    spec("", "failed", "no connection", "BeforeSuite"),
    spec("", "passed", undefined, "AfterSuite"),
  ]);
  const { specs } = await readReport(path);
  assert.deepEqual(
    specs.map(({ name, result }) => [name, result]),
    [["(BeforeSuite)", "failed"]],
  );
});

test("no report is an error", async () => {
  await assert.rejects(readReport("/nonexistent/report.json"));
});
