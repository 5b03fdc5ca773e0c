import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { lockDirectory } from "./instance-lock.ts";

const HOLDER = `
  const { lockDirectory } = await import(process.argv[1]);
  lockDirectory(process.argv[2]);
  process.stdout.write("locked");
  setInterval(() => {}, 1000);
`;

test("a directory that another process holds is refused by pid, and free once that was killed", async () => {
  const directory = mkdtempSync(join(tmpdir(), "gantry-lock-"));
  const module = new URL("./instance-lock.ts", import.meta.url).href;
  const holder = spawn(process.execPath, ["--input-type=module", "-e", HOLDER, module, directory], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    await once(holder.stdout, "data");
    assert.throws(() => lockDirectory(directory), {
      kind: "failed-precondition",
      message: `${directory} is in use by another gantryd (pid ${holder.pid})`,
    });
    holder.kill("SIGKILL");
    await once(holder, "exit");
    lockDirectory(directory).release();
  } finally {
    holder.kill("SIGKILL");
    rmSync(directory, { recursive: true });
  }
});

test("a lock that was released can be taken again, and only once", () => {
  const directory = mkdtempSync(join(tmpdir(), "gantry-lock-"));
  try {
    lockDirectory(directory).release();
    const lock = lockDirectory(directory);
    assert.throws(() => lockDirectory(directory), { kind: "failed-precondition" });
    lock.release();
  } finally {
    rmSync(directory, { recursive: true });
  }
});
