/**
 * What `npm test` runs: gets the tools, runs the checks, then every test of the tree, and ends with one line that
 * counts: "N passed, N failed, N skipped".
 *
 *   node scripts/run.mjs test/run-tests.ts [PATTERN…]     only the test files that match; then no checks
 *   node test/run-tests.ts --no-install PATTERN…          with what the machine has
 *                          --serial                      one file after the other
 *                          --result=FILE                 the counts and the names of failures, as JSON
 *
 * A file named *.root.test.ts needs root and fails without it; one named *.vm.test.ts changes the machine it runs on,
 * and is run only in the virtual machine (test/vm).
 */
import { globSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { parseArgs } from "node:util";
import { runChecks } from "./check-list.ts";
import { patient } from "./harness/patience.ts";
import { installTools } from "./install-tools.ts";

const TEST_FILES = ["src/**/*.test.ts", "scripts/**/*.test.ts", "test/**/*.test.ts", "bench/**/*.test.ts"];
/**
 * No test takes near as long; one that does hangs, and fails. A file is not forced to end when its tests are done: it
 * would end with results that it has not told yet, and they would be missing without a trace.
 */
const FILE_OPTIONS = [`--test-timeout=${Math.min(patient(300_000), 1_800_000)}`];
/** Without any result for so long, a file hangs after its tests. The run fails then. */
const STALL_MS = patient(420_000);

/** Why the test runner calls it a failure; its types do not tell. */
function failureType(error: Error): unknown {
  return "failureType" in error ? error.failureType : undefined;
}

const project = dirname(import.meta.dirname);
const { values, positionals: patterns } = parseArgs({
  options: {
    "no-install": { type: "boolean", default: false },
    serial: { type: "boolean", default: false },
    result: { type: "string" },
  },
  allowPositionals: true,
});
const count = { passed: 0, failed: 0, skipped: 0 };
const failures: string[] = [];
const skips: string[] = [];

if (!values["no-install"]) installTools();
if (patterns.length === 0) {
  const { passed, failed } = runChecks();
  count.passed += passed.length;
  count.failed += failed.length;
  failures.push(...failed.map((name) => `check: ${name}`));
}

const exclude = patterns.length > 0 ? [] : ["**/*.vm.test.ts"];
const files = globSync(patterns.length > 0 ? patterns : TEST_FILES, { cwd: project, exclude }).toSorted();
const stalled = new AbortController();
const watchdog = setTimeout(() => {
  failures.push("no test has told anything for a long time: a file does not end");
  count.failed += 1;
  stalled.abort();
}, STALL_MS);
const tests = run({
  files,
  cwd: project,
  concurrency: values.serial ? 1 : 2,
  execArgv: FILE_OPTIONS,
  signal: stalled.signal,
});
tests.on("data", () => watchdog.refresh());
tests.on("test:pass", (event) => {
  if (event.details.type === "suite") return;
  const skip = event.skip ?? event.todo;
  if (skip === undefined || skip === false) {
    count.passed += 1;
    return;
  }
  count.skipped += 1;
  skips.push(`${event.name}: ${typeof skip === "string" ? skip : "no reason given"}`);
});
tests.on("test:fail", (event) => {
  // A suite that fails because of a test in it is counted by that test.
  if (event.details.type === "suite" && failureType(event.details.error) === "subtestsFailed") return;
  count.failed += 1;
  failures.push(`${event.file ?? ""}: ${event.name}`);
});
for await (const chunk of tests.compose<NodeJS.ReadableStream>(new spec())) process.stdout.write(chunk);

clearTimeout(watchdog);

if (skips.length > 0) console.log(`\nskipped:\n  ${skips.join("\n  ")}`);
if (failures.length > 0) console.log(`\nfailed:\n  ${failures.join("\n  ")}`);
if (files.length === 0) failures.push("no test file matches");
console.log(`\n${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
if (values.result !== undefined) writeFileSync(values.result, JSON.stringify({ ...count, failures }));
process.exitCode = failures.length > 0 ? 1 : 0;
