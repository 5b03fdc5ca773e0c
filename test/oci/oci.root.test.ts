/**
 * The OCI runtime-tools' validation suite with gantry-oci, but for what passes nowhere (test/oci/expected.ts). The whole
 * table, with runc and crun, is `npm run test:oci`.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { installExecutor } from "../harness/installed-executor.ts";
import { KNOWN_FAILURES } from "./expected.ts";
import { problemsOf } from "./judgement.ts";
import { judgeOutput } from "./program-run.ts";
import { validationPrograms } from "./programs.ts";
import { runtimeSubject } from "./runtime-subject.ts";
import { runSuite } from "./suite-run.ts";

/** A race that only a runtime which answers within a millisecond can win. */
const LOST_RACE = "pidfile";

test("gantry-oci fails no program of the validation suite that can be passed", async (t) => {
  if (process.getuid?.() !== 0) throw new Error("this test needs root");
  const suite = await validationPrograms();
  const programs = suite.names.filter((name) => !(name in KNOWN_FAILURES) && name !== LOST_RACE);
  // The sources would be compiled anew for each of some five hundred calls.
  const home = mkdtempSync(join(tmpdir(), "gantry-oci-suite-home-"));
  t.after(() => rmSync(home, { recursive: true }));
  const subject = runtimeSubject("gantry-oci", await installExecutor(home));
  const beside = await runSuite(suite, programs, [subject]);
  // What fails beside the others, some of which limit processors, is judged by a run alone.
  const again = beside.filter(({ outcome }) => outcome === "fail").map(({ program }) => program);
  for (const { program, reasons } of beside.filter((run) => again.includes(run.program)))
    t.diagnostic(`${program} failed beside the others: ${reasons.join("; ")}`);
  const alone = await runSuite(suite, again, [subject]);
  const runs = [...beside.filter(({ program }) => !again.includes(program)), ...alone];
  assert.deepEqual(problemsOf(runs), []);
  const passed = runs.filter(({ outcome }) => outcome === "pass").length;
  assert.equal(passed, 35);
  const left = runs.flatMap(({ program, leftovers }) => leftovers.map((what) => `${program}: ${what}`));
  assert.deepEqual(
    left.filter((line) => /: (process|cgroup|container) /.test(line)),
    [],
  );
});

test("a program's outcome is by its status and its lines", () => {
  assert.equal(judgeOutput("a", 0, "ok 1\n1..1\n", "").outcome, "pass");
  assert.equal(judgeOutput("a", 0, "ok 1\nnot ok 2 - why\n", "").outcome, "fail");
  assert.deepEqual(judgeOutput("a", 1, "ok 1\n", "really\nexit status 1\n").reasons, ["really"]);
  assert.equal(judgeOutput("a", 0, "1..0\n", "").outcome, "nothing");
  assert.deepEqual(judgeOutput("a", -1, "", "").reasons, ["it did not end"]);
  assert.equal(judgeOutput("process_capabilities_fail", 0, "", "").outcome, "pass");
});
