import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import manifest from "../../package.json" with { type: "json" };

const program = join(import.meta.dirname, "../../bin/gantryd");
const directory = mkdtempSync(join(tmpdir(), "gantry-command-"));
test.after(() => rmSync(directory, { recursive: true }));

function gantryd(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(program, args, { encoding: "utf8" });
}

function file(name: string, text: string): string {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, name), text);
  return join(directory, name);
}

test("--version prints the version, also through a symbolic link", () => {
  assert.equal(gantryd("--version").stdout, `${manifest.version}\n`);
  const link = join(directory, "linked");
  symlinkSync(program, link);
  assert.equal(spawnSync(link, ["--version"], { encoding: "utf8" }).stdout, `${manifest.version}\n`);
});

test("config default prints what config check accepts", () => {
  const { stdout } = gantryd("config", "default");
  const path = file("default.toml", stdout);
  const { status, stdout: said, stderr } = gantryd("config", "check", "--config", path);
  assert.deepEqual(
    { status, said, stderr },
    { status: 0, said: `${path}: the configuration is right\n`, stderr: "" },
  );
});

test("config check and the start itself refuse a wrong file, with one line a complaint and status 1", () => {
  const path = file("wrong.toml", "[images]\nunpack_workers = -1\nsnapshoter = 'copy'\n");
  for (const args of [
    ["config", "check", "--config", path],
    ["--config", path, "config", "check"],
    ["--config", path, "--root", join(directory, "root"), "--state", join(directory, "state")],
  ]) {
    const { status, stdout, stderr } = gantryd(...args);
    assert.equal(status, 1);
    assert.equal(stdout, "");
    assert.equal(
      stderr,
      `gantryd: ${path}:2: images.unpack_workers: must be a whole number from 0 to 64, not -1\n` +
        `gantryd: ${path}:3: images.snapshoter: unknown key\n`,
    );
  }
});

test("an unknown option is an error", () => {
  const { status, stderr } = gantryd("--no-such-option");
  assert.equal(status, 1);
  assert.match(stderr, /unknown option '--no-such-option'/);
});
