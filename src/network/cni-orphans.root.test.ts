/** Plugins of an earlier daemon, and processes that only look like them. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { outliveOrphans } from "./cni-orphans.ts";

const never = new AbortController().signal;

test("a plugin that hangs is killed, and a container's process that looks like one is left alone", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "gantry-orphans-"));
  const plugin = join(directory, "plugin");
  writeFileSync(plugin, "#!/bin/sh\necho runs\nread line\n");
  chmodSync(plugin, 0o755);
  const started: ChildProcess[] = [];
  t.after(() => {
    for (const child of started) child.kill("SIGKILL");
    rmSync(directory, { recursive: true });
  });
  const start = async (command: string, words: string[]): Promise<ChildProcess> => {
    const child = spawn(command, words, {
      env: { PATH: process.env["PATH"], CNI_CONTAINERID: "pod1" },
      stdio: ["pipe", "pipe", "inherit"],
    });
    started.push(child);
    await once(child.stdout, "data");
    return child;
  };
  const own = await start(plugin, []);
  const foreign = await start("unshare", ["--pid", "--fork", "--kill-child", plugin]);
  const ended = once(own, "exit");
  await outliveOrphans(new Set(["pod1"]), [directory], 50, never);
  assert.deepEqual(await ended, [null, "SIGKILL"]);
  assert.equal(spawnSync("pgrep", ["-P", String(foreign.pid)]).status, 0);
  foreign.stdin?.end("end\n");
  assert.deepEqual(await once(foreign, "exit"), [0, null]);
});
