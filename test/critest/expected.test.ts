import assert from "node:assert/strict";
import { test } from "node:test";
import { EXCEPTIONS, judge } from "./expected.ts";
import { type HostFacts, hostFacts } from "./host-facts.ts";
import type { SpecResult } from "./report.ts";

const HOST: HostFacts = { ...hostFacts(), appArmor: false };
const APPARMOR = "[k8s.io] AppArmor runtime should support apparmor field should enforce a profile";
const DIGEST = "[k8s.io] Image Manager public image with digest should be pulled and removed [Conformance]";

function spec(name: string, result: SpecResult["result"]): SpecResult {
  return { name, result, group: "", title: "", durationMs: 1, message: "" };
}

function names(specs: readonly SpecResult[]): string[] {
  return specs.map(({ name }) => name);
}

test("what fails or skips itself without an exception is unexpected", () => {
  const specs = [spec("a", "passed"), spec("b", "failed"), spec("c", "skipped"), spec("d", "filtered")];
  const { unexpected, needless } = judge(specs, HOST);
  assert.deepEqual(names(unexpected), ["b", "c"]);
  assert.deepEqual(needless, []);
});

test("an exception covers its own result only", () => {
  assert.deepEqual(judge([spec(APPARMOR, "skipped"), spec(DIGEST, "failed")], HOST).unexpected, []);
  assert.deepEqual(names(judge([spec(APPARMOR, "failed"), spec(DIGEST, "skipped")], HOST).unexpected), [
    APPARMOR,
    DIGEST,
  ]);
});

test("an exception of other hosts does not hold", () => {
  const specs = [spec(APPARMOR, "skipped")];
  assert.deepEqual(names(judge(specs, { ...HOST, appArmor: true }).unexpected), [APPARMOR]);
  const passed = [spec(APPARMOR, "passed")];
  assert.deepEqual(judge(passed, { ...HOST, appArmor: true }).needless, []);
});

test("a spec that passes in spite of an exception is told", () => {
  assert.deepEqual(names(judge([spec(DIGEST, "passed")], HOST).needless), [DIGEST]);
  assert.deepEqual(judge([spec(DIGEST, "filtered")], HOST).needless, []);
});

test("the table names AppArmor's nine and one image", () => {
  assert.equal(
    EXCEPTIONS.reduce((sum, { count }) => sum + count, 0),
    10,
  );
});
