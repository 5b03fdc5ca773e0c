import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { silentLogger } from "../base/logger.ts";
import { processAddon } from "../native/process.ts";
import { LaunchRecords } from "./launch-records.ts";
import { launchPlugin } from "./plugin-launch.ts";

let directory: string;
const started: ChildProcess[] = [];

before(() => {
  directory = mkdtempSync(join(tmpdir(), "gantry-launched-"));
});
after(() => {
  for (const { pid, exitCode, signalCode } of started)
    if (pid !== undefined && exitCode === null && signalCode === null) process.kill(-pid, "SIGKILL");
  rmSync(directory, { recursive: true, force: true });
});

/** A process group of two. */
function start(): ChildProcess {
  const child = spawn("/bin/sh", ["-c", "sleep 1000 & echo $!; wait"], {
    detached: true,
    stdio: ["ignore", "pipe", "ignore"],
  });
  started.push(child);
  return child;
}

test("plugins of an earlier daemon are ended with their groups, and no other process", async () => {
  const child = start();
  const other = start();
  const [below] = (await once(child.stdout as NodeJS.ReadableStream, "data")) as [Buffer];
  assert.ok(child.pid !== undefined && other.pid !== undefined);
  const earlier = new LaunchRecords(directory);
  earlier.add("10-plugin", child.pid);
  earlier.add("20-gone", child.pid);
  earlier.delete("20-gone");
  // The pid is another's by now, or of another boot, or there is no sense in it.
  writeFileSync(join(directory, "30-reused"), `${other.pid} 17 boot`);
  writeFileSync(join(directory, "40-cut"), `${other.pid}`);
  writeFileSync(join(directory, "50-empty"), "");
  const exited = once(child, "exit");
  new LaunchRecords(directory).endAll(silentLogger);
  assert.deepEqual(await exited, [null, "SIGKILL"]);
  while (processAddon.processStartTime(Number(below)) > 0) await sleep(5);
  assert.deepEqual(readdirSync(directory), []);
  assert.equal(other.exitCode, null);
  assert.equal(other.signalCode, null);
});

test("a plugin of which no record can be written does not run", async () => {
  const path = join(directory, "60-plugin");
  writeFileSync(path, "#!/bin/sh\nexec sleep 1000\n", { mode: 0o755 });
  let pid = 0;
  class FullDisk extends LaunchRecords {
    override add(_name: string, started: number): void {
      pid = started;
      throw new Error("no space");
    }
  }
  const file = { path, index: "60", base: "plugin", config: "" };
  await assert.rejects(launchPlugin(file, new FullDisk(directory), silentLogger), /no space/);
  while (processAddon.processStartTime(pid) > 0) await sleep(5);
  rmSync(path);
});

test("without a directory there is nothing to end", () => {
  new LaunchRecords(join(directory, "none")).endAll(silentLogger);
});
