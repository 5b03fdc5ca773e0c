/** Programs that stand in for a runtime: what they are given, and what becomes of what they say. */
import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { ExternalRuntime, type ExternalRuntimeOptions } from "./external-runtime.ts";

const never = new AbortController().signal;

function stub(
  t: TestContext,
  script: string,
  more: Partial<ExternalRuntimeOptions> = {},
): { runtime: ExternalRuntime; directory: string } {
  const directory = mkdtempSync(join(tmpdir(), "gantry-runtime-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const binary = join(directory, "stub");
  writeFileSync(binary, `#!/bin/sh\n${script}\n`);
  chmodSync(binary, 0o755);
  const runtime = new ExternalRuntime({
    name: "stub",
    binary,
    arguments: ["--own"],
    environment: [`TRACE=${join(directory, "trace")}`],
    root: join(directory, "root"),
    systemdCgroup: false,
    timeoutMs: 30_000,
    update: true,
    kill: false,
    ...more,
  });
  return { runtime, directory };
}

test("a command has the global arguments before it, and limits on its standard input", async (t) => {
  const { runtime, directory } = stub(t, 'echo "$@" >"$TRACE"; cat >>"$TRACE"');
  await runtime.updateResources("id", { memory: { limit: 7 } });
  assert.equal(
    readFileSync(join(directory, "trace"), "utf8"),
    `--root ${directory}/root --log-format json --own update --resources - id\n{"memory":{"limit":7}}`,
  );
  await runtime.kill("id", 15);
  assert.match(readFileSync(join(directory, "trace"), "utf8"), /--own kill id 15\n$/);
});

test("a program without update is not asked", async (t) => {
  const { runtime, directory } = stub(t, 'touch "$TRACE"', { update: false });
  await runtime.updateResources("id", {});
  assert.equal(existsSync(join(directory, "trace")), false);
});

test("a failure has the program's words, or else its status", async (t) => {
  const said = stub(t, `echo '{"level":"error","msg":"no such container"}' >&2; exit 1`).runtime;
  await assert.rejects(said.kill("id", 9), {
    kind: "failed-precondition",
    message: "stub kill: no such container",
  });
  await assert.rejects(stub(t, "exit 4").runtime.kill("id", 9), { message: "stub kill: exit code 4" });
  const none = stub(t, "").runtime;
  rmSync(none.options.binary);
  await assert.rejects(none.kill("id", 9), { message: "stub kill: ENOENT" });
  assert.throws(() => none.check(), {
    kind: "failed-precondition",
    message: `runtime handler "stub": ${none.options.binary}: ENOENT`,
  });
});

test("a program that hangs is killed", async (t) => {
  const { runtime } = stub(t, "sleep 1000", { timeoutMs: 200 });
  await assert.rejects(runtime.kill("id", 9), {
    kind: "deadline-exceeded",
    message: "stub kill: not finished after 0.2 s",
  });
});

test("what it does not delete of its state goes all the same", async (t) => {
  const { runtime, directory } = stub(t, "exit 1");
  mkdirSync(join(directory, "root/id"), { recursive: true });
  await assert.rejects(runtime.delete("id"));
  assert.equal(existsSync(join(directory, "root/id")), false);
});

test("features are what it prints, and nothing where it fails", async (t) => {
  const text = JSON.stringify({ mountOptions: ["rro"], linux: { namespaces: ["user"] } });
  const told = await stub(t, `[ "$1" = features ] && echo '${text}'`).runtime.features(never);
  assert.deepEqual([told.recursiveReadOnlyMounts, told.userNamespaces], [true, true]);
  const none = await stub(t, `echo '${text}'; exit 1`).runtime.features(never);
  assert.deepEqual([none.recursiveReadOnlyMounts, none.userNamespaces], [false, false]);
});
