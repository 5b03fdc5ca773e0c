/**
 * The shim and the executor once more, built with the address and the undefined-behaviour sanitizer: the root tests of
 * both run against that build. A finding ends the program and so fails its test.
 */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand } from "./harness/command.ts";
import { patient } from "./harness/patience.ts";

const project = join(import.meta.dirname, "..");
/** Of a build and a run; a little less than that after which the run of all tests is held to hang. */
const LIMIT_MS = patient(400_000);
const SUITES = {
  "src/shim": /\.root\.test\.ts$/,
  "src/oci": /^plan-.*\.root\.test\.ts$/,
  test: /^oci-(seccomp|net-devices|scheduling)\.root\.test\.ts$/,
};

test("shim and executor pass their tests under the sanitizers", { timeout: LIMIT_MS }, async () => {
  const made = await runCommand("make", ["-s", "-C", "native", "SANITIZE=1"], {
    cwd: project,
    timeoutMs: LIMIT_MS,
  });
  assert.equal(made.code, 0, made.stderr);
  const files = Object.entries(SUITES).flatMap(([directory, pattern]) =>
    readdirSync(join(project, directory))
      .filter((name) => pattern.test(name))
      .map((name) => join(directory, name)),
  );
  assert.ok(files.length >= 6, files.join(" "));
  const { code, stdout } = await runCommand(process.execPath, ["--test", "--test-reporter=tap", ...files], {
    cwd: project,
    env: {
      ...process.env,
      NODE_TEST_CONTEXT: undefined,
      GANTRY_NATIVE_DIR: join(project, "native/build-sanitize"),
      GANTRY_TEST_SANITIZE: "1",
    },
    timeoutMs: LIMIT_MS,
  });
  const passed = Number(/^# pass (\d+)$/m.exec(stdout)?.[1] ?? 0);
  assert.ok(passed >= 90, `${passed} passed\n${stdout}`);
  assert.equal(code, 0, stdout);
});

/** Of the addon alone; what they start is small. Those of programs and their ends wait for the clock. */
const ADDON_TESTS = ["label.root", "mount.root", "mount", "namespace.root", "notify", "small-files"];

test("the addon passes its tests under the sanitizers", { timeout: LIMIT_MS }, async () => {
  const made = await runCommand("make", ["-s", "-C", "native", "SANITIZE=1", "addon-sanitize"], {
    cwd: project,
    timeoutMs: LIMIT_MS,
  });
  assert.equal(made.code, 0, made.stderr);
  const library = (await runCommand("gcc", ["-print-file-name=libasan.so"])).stdout.trim();
  const files = ADDON_TESTS.map((name) => join("src/native", `${name}.test.ts`));
  const { code, stdout } = await runCommand(process.execPath, ["--test", "--test-reporter=tap", ...files], {
    cwd: project,
    env: {
      ...process.env,
      NODE_TEST_CONTEXT: undefined,
      GANTRY_NATIVE_DIR: join(project, "native/build-sanitize/addon"),
      LD_PRELOAD: library,
      /* Node keeps what it has until its end. */
      ASAN_OPTIONS: "detect_leaks=0",
    },
    timeoutMs: LIMIT_MS,
  });
  assert.equal(code, 0, stdout);
  assert.ok(Number(/^# pass (\d+)$/m.exec(stdout)?.[1] ?? 0) >= 20, stdout);
});
