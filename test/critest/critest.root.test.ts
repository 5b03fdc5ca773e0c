/**
 * The unmodified conformance suite, whole, in CI: one spec after the other, and four at once; then parts of it in other
 * ways, and with another runtime over the OCI command. What may not pass is in expected.ts; that no group of specs is lost, as by a suite that ends early, is counted
 * here.
 */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand } from "../harness/command.ts";
import { installExecutor } from "../harness/installed-executor.ts";
import { EXCEPTIONS } from "./expected.ts";
import { hostFacts } from "./host-facts.ts";
import type { CritestResult } from "./result-file.ts";
import { shortDirectory } from "../harness/short-directory.ts";

/** Specs of each group of the pinned version. */
const GROUPS: Readonly<Record<string, number>> = {
  AppArmor: 9,
  Container: 18,
  "Container Mount Propagation": 3,
  "Container Mount Readonly": 5,
  "Container OOM": 1,
  Idempotence: 7,
  "Image Consistency": 3,
  "Image Identifier Consistency": 2,
  "Image Manager": 10,
  "Multiple Containers [Conformance]": 3,
  Networking: 4,
  PodSandbox: 6,
  "Runtime info": 2,
  "Security Context": 39,
  Streaming: 5,
};

async function critest(...args: string[]): Promise<CritestResult> {
  const { code, said, result } = await critestRun(args);
  assert.equal(code, 0, said);
  return result;
}

async function critestRun(args: string[]): Promise<{ code: number; said: string; result: CritestResult }> {
  const directory = mkdtempSync(join(tmpdir(), "gantry-critest-result-"));
  try {
    const output = join(directory, "result.json");
    const { stdout, stderr, code } = await runCommand(
      process.execPath,
      [join(import.meta.dirname, "run.ts"), "--output", output, ...args],
      { timeoutMs: 590_000 },
    );
    const said = stdout + stderr;
    assert.ok(existsSync(output), said);
    return { code, said, result: JSON.parse(readFileSync(output, "utf8")) as CritestResult };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Every group is there whole, and every spec passed but those of the exceptions. */
function assertWhole({ runs }: CritestResult): void {
  const [run] = runs;
  assert.ok(run);
  const groups: Record<string, number> = {};
  for (const { group } of run.specs) groups[group] = (groups[group] ?? 0) + 1;
  assert.deepEqual(groups, GROUPS);
  const host = hostFacts();
  const excepted = EXCEPTIONS.filter(({ on }) => on?.(host) ?? true).reduce(
    (sum, { count }) => sum + count,
    0,
  );
  assert.equal(run.counts.passed, run.specs.length - excepted);
}

test("critest passes", { timeout: 600_000 }, async () => {
  assertWhole(await critest());
});

test("critest passes, four specs at once", { timeout: 600_000 }, async () => {
  assertWhole(await critest("--parallel", "4"));
});

test("streaming passes over WebSocket", { timeout: 600_000 }, async () => {
  const { runs } = await critest("--websocket", "--focus", "Streaming");
  assert.equal(runs[0]?.counts.passed, GROUPS["Streaming"]);
});

test("pod networks of CNI plugins pass", { timeout: 600_000 }, async () => {
  const { runs } = await critest("--network", "cni", "--focus", "Networking|Streaming");
  assert.equal(runs[0]?.counts.passed, (GROUPS["Networking"] ?? 0) + (GROUPS["Streaming"] ?? 0));
});

/** What external runtimes do in ways of their own. */
const OF_HANDLERS =
  "Streaming|Mount Propagation|Mount Readonly|Container OOM|Idempotence|basic operations on container|Capability|NamespaceOption|SeccompProfilePath";
const SPECS_OF_HANDLERS = 49;

for (const handler of ["runc", "crun"]) {
  test(`containers that ${handler} runs pass`, { timeout: 600_000 }, async () => {
    const { runs } = await critest("--handler", handler, "--parallel", "4", "--focus", OF_HANDLERS);
    assert.equal(runs[0]?.counts.passed, SPECS_OF_HANDLERS);
  });
}

test("critest's benchmarks run", { timeout: 600_000 }, async () => {
  const { runs } = await critest("--benchmark");
  assert.deepEqual(runs[0]?.counts, { passed: 5, failed: 0, skipped: 0 });
});

/** Left to the whole run by hand: on a busy machine their time limits pass, with containerd's own waiting. */
const OF_QUIET_MACHINES = "Container OOM|listing container stats";

/** With Debian's runc the same pass: its containerd skips what it does not know of. */
test("Debian's containerd passes with gantry-oci in runc's place", { timeout: 600_000 }, async () => {
  const home = shortDirectory("gantry-critest-executor");
  try {
    const program = await installExecutor(home);
    const focus = String.raw`\[k8s\.io\] (Container|Multiple Containers|Streaming)`;
    const runtime = ["--against", "containerd", "--binary-name", program];
    const choice = ["--focus", focus, "--skip", OF_QUIET_MACHINES, "--parallel", "4"];
    const { result, said } = await critestRun([...runtime, ...choice]);
    const [run] = result.runs;
    assert.ok(run, said);
    const groups = ["Container", "Container Mount Propagation", "Container Mount Readonly"];
    groups.push("Multiple Containers [Conformance]", "Streaming");
    const specs = groups.reduce((sum, group) => sum + (GROUPS[group] ?? 0), 0) - 1;
    const unknown = run.unexpected.filter((name) => name.includes("recursive readonly mount")).length;
    assert.deepEqual(run.counts, { passed: specs - unknown, failed: 0, skipped: unknown }, said);
  } finally {
    rmSync(home, { recursive: true });
  }
});
