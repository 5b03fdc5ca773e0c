import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { freeSocketPath } from "./unix-socket.ts";

test("only a socket that nobody listens on is removed", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "gantry-socket-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "s.sock");

  await freeSocketPath(path);

  writeFileSync(path, "mine");
  await assert.rejects(freeSocketPath(path), { kind: "failed-precondition" });
  assert.ok(existsSync(path));
  rmSync(path);

  const listener = createServer().listen(path);
  await new Promise((resolve) => listener.once("listening", resolve));
  await assert.rejects(freeSocketPath(path), { kind: "already-exists" });
  assert.ok(existsSync(path));
  await new Promise((resolve) => listener.close(resolve));

  // A process that is killed leaves its socket behind.
  spawnSync(process.execPath, [
    "-e",
    `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`,
  ]);
  assert.ok(existsSync(path));
  await freeSocketPath(path);
  assert.ok(!existsSync(path));
});

test("paths that no socket can have", async () => {
  await assert.rejects(freeSocketPath("relative.sock"), { kind: "invalid-argument" });
  await assert.rejects(freeSocketPath(`/${"x".repeat(107)}`), { kind: "invalid-argument" });
});
