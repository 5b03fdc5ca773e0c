import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { claimSocketPath } from "./listen-socket.ts";

const directory = mkdtempSync(join(tmpdir(), "gantry-listen-"));
test.after(() => rmSync(directory, { recursive: true }));

test("a socket that somebody answers on is not taken", async () => {
  const path = join(directory, "live.sock");
  const server = createServer().listen(path);
  await once(server, "listening");
  await assert.rejects(claimSocketPath(`unix://${path}`), {
    kind: "failed-precondition",
    message: /listens on/,
  });
  assert.ok(existsSync(path));
  server.close();
});

test("the socket of a killed process is cleared away", async () => {
  const path = join(directory, "stale.sock");
  const program = `require("net").createServer().listen(process.argv[1], () => console.log("up"))`;
  const child = spawn(process.execPath, ["-e", program, path], { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.ok(existsSync(path));
  assert.equal(await claimSocketPath(`unix://${path}`), path);
  assert.ok(!existsSync(path));
});

test("what is not a socket stays", async () => {
  const path = join(directory, "file");
  writeFileSync(path, "precious");
  await assert.rejects(claimSocketPath(`unix://${path}`), { message: `${path} exists and is not a socket` });
  assert.ok(existsSync(path));
});

test("a new path gets its directory, and one too long is refused", async () => {
  const path = join(directory, "a/b/c.sock");
  assert.equal(await claimSocketPath(`unix://${path}`), path);
  assert.ok(existsSync(join(directory, "a/b")));
  await assert.rejects(claimSocketPath(`unix:///${"x".repeat(107)}`), { kind: "invalid-argument" });
});
