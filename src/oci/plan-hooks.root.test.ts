/**
 * What a failing hook says is in the error of the launch: the end of it, printable, whoever else holds its standard
 * error. Needs root and a static busybox.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { TestContainer } from "./plan-test-container.ts";
import type { Hooks } from "./runtime-spec.ts";

describe("a failing hook", () => {
  let container: TestContainer;
  before(() => (container = new TestContainer()));
  after(() => container.dispose());

  async function fails(kind: keyof Hooks, script: string, timeout?: number): Promise<string> {
    const spec = container.spec("true");
    const hook = { path: "/bin/sh", args: ["sh", "-c", script], env: ["PATH=/usr/bin:/bin"] };
    spec.hooks = { [kind]: [{ ...hook, ...(timeout !== undefined && { timeout }) }] };
    const { message } = await container.run(spec, { hookState: { id: "c1", bundle: "/" } });
    return message ?? "";
  }

  test("is told with its words, whichever it is", async () => {
    for (const kind of ["prestart", "createRuntime", "createContainer", "startContainer"] as const)
      assert.equal(
        await fails(kind, "echo nothing of this; echo because of >&2; echo it >&2; exit 3"),
        "hook /bin/sh: exit status 3: because of it",
      );
    assert.equal(
      await fails("createRuntime", "echo oh >&2; kill -9 $$"),
      "hook /bin/sh: killed by signal 9: oh",
    );
    assert.equal(await fails("createRuntime", "exit 3"), "hook /bin/sh: exit status 3");
  });

  test("is told with the end of what it says, however much that is", async () => {
    const message = await fails(
      "createRuntime",
      "seq 100000 >&2; printf 'a\\0b\\033[31mc\\377 é\\n' >&2; exit 1",
    );
    assert.match(message, /^hook \/bin\/sh: exit status 1: [0-9 ]+ 99999 100000 a b \[31mc é$/);
    assert.ok(message.length > 1000 && message.length < 1100, message);
  });

  test("is not waited for longer than its time, and not for what it leaves behind", async () => {
    assert.equal(
      await fails("createRuntime", "echo slow >&2; exec sleep 1000", 5),
      "hook /bin/sh: ETIMEDOUT: slow",
    );
    const left = join(container.directory, "left");
    const message = await fails(
      "createRuntime",
      `setsid sleep 1000 & echo $! > ${left}; echo bye >&2; exit 2`,
    );
    process.kill(Number(readFileSync(left, "utf8")), "SIGKILL");
    assert.equal(message, "hook /bin/sh: exit status 2: bye");
  });
});
