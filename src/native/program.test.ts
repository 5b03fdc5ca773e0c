/** Programs run for their result. Needs sh. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type ProgramEnd, runProgram } from "./program.ts";

const directory = mkdtempSync(join(tmpdir(), "gantry-program-"));
const never = new AbortController().signal;
after(() => rmSync(directory, { recursive: true }));

let scripts = 0;
function script(lines: string): string {
  const path = join(directory, `script-${++scripts}`);
  writeFileSync(path, `#!/bin/sh\n${lines}\n`);
  chmodSync(path, 0o755);
  return path;
}

function run(path: string, signal = never, more: object = {}): Promise<ProgramEnd> {
  const environment = ["A=1 2", `PATH=${process.env["PATH"]}`];
  const limits = { stdoutLimitBytes: 100_000, stderrLimitBytes: 10 };
  return runProgram({ path, environment, input: "", ...limits, ...more }, signal);
}

test("environment, directory, mask, session, signals and streams are as promised", async () => {
  const path = script(
    `echo "$A"; pwd; umask; grep -E '^Sig(Blk|Ign)' /proc/self/status; ps -o sid= -p $$ | tr -d ' '; echo $$
     cat /dev/stdin; echo wrong > /dev/stderr; ls /proc/self/fd | wc -l`,
  );
  const input = "x".repeat(90_000);
  const { stdout, stderr, failure, exceeded } = await run(path, never, { input });
  const [value, where, mask, blocked, ignored, session, pid, rest = ""] = stdout.split("\n");
  assert.deepEqual([value, where, mask], ["1 2", "/", "0022"]);
  const signals = (line = ""): bigint => BigInt(`0x${line.split("\t")[1]}`) & 0x7fff_ffffn;
  // Two above these the C library keeps to itself.
  assert.deepEqual([signals(blocked), signals(ignored)], [0n, 0n]);
  assert.equal(session, pid);
  assert.equal(rest.slice(0, input.length) === input, true, "all of the input");
  assert.equal(rest.slice(input.length), "4", "three streams, and the directory that is listed");
  assert.deepEqual([stderr, failure, exceeded], ["wrong\n", "", false]);
});

test("how it ended", async () => {
  assert.equal((await run(script("exit 7"))).failure, "exit code 7");
  assert.equal((await run(script("kill -ABRT $$"))).failure, "SIGABRT");
  assert.deepEqual(await run(script("yes"), never, { stdoutLimitBytes: 4 }), {
    stdout: "y\ny\n",
    stderr: "",
    failure: "SIGKILL",
    exceeded: true,
  });
  const { stdout } = await run(script("sleep 600 & echo $!"));
  process.kill(Number(stdout), "SIGKILL");
});

test("what cannot be executed", async () => {
  await assert.rejects(run(join(directory, "missing")), { code: "ENOENT", syscall: "execve" });
  writeFileSync(join(directory, "data"), "");
  await assert.rejects(run(join(directory, "data")), { code: "EACCES" });
  const busy = join(directory, "busy");
  copyFileSync("/bin/true", busy);
  const fd = openSync(busy, "r+");
  await assert.rejects(run(busy), { code: "ETXTBSY" });
  closeSync(fd);
  assert.equal((await run(busy)).failure, "");
});

test("an abort kills it with its children", async () => {
  const gone = new AbortController();
  const pids = join(directory, "pids");
  const ended = run(script(`sleep 600 & echo $! > ${pids}; wait`), gone.signal);
  const rejected = assert.rejects(ended, /client left/);
  const pid = (): string => (existsSync(pids) ? readFileSync(pids, "utf8").trim() : "");
  while (pid() === "") await new Promise((resolve) => setTimeout(resolve, 10));
  gone.abort(new Error("client left"));
  await rejected;
  // A zombie is the first process's to reap. One that was killed ends a moment later.
  const stat = (): Promise<string> => readFile(`/proc/${pid()}/stat`, "utf8").catch(() => ") Z");
  while (!/\) Z/.test(await stat())) await new Promise((resolve) => setTimeout(resolve, 10));
  await assert.rejects(run(script("true"), gone.signal), /client left/);
});

test("many at once, and no descriptor is left", async () => {
  const path = script("echo done");
  await run(path);
  const before = readdirSync("/proc/self/fd").length;
  const all = await Promise.all(Array.from({ length: 40 }, () => run(path)));
  assert.ok(all.every(({ stdout, failure }) => stdout === "done\n" && failure === ""));
  // The last pipe closes a turn or more after its end was told.
  while (readdirSync("/proc/self/fd").length > before)
    await new Promise((resolve) => setTimeout(resolve, 10));
});

test("no descriptor is left where there are too few", async () => {
  const limit = (soft: string): void => {
    const { status } = spawnSync("prlimit", [`--pid=${process.pid}`, `--nofile=${soft}:`]);
    assert.equal(status, 0);
  };
  const before = /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1] ?? "";
  const path = script("true");
  const held = Array.from({ length: 64 }, () => openSync("/dev/null", "r"));
  try {
    // Room for two pipes of four.
    limit(String(Math.max(...held) + 5));
    for (let n = 0; n < 5; n++) await assert.rejects(run(path), { code: "EMFILE", syscall: "pipe2" });
    held.push(openSync("/dev/null", "r"), openSync("/dev/null", "r"));
  } finally {
    for (const fd of held) closeSync(fd);
    limit(before);
  }
});
