/**
 * The ends of a terminal in the foreground: who reads gantry-oci's output goes, its own terminal goes, its input cannot be
 * read, or is more than the process reads. The process hears of it as of any terminal that hangs up, and nothing is left
 * once it has ended. Needs root, a static busybox, and script(1).
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { EXECUTOR_PROGRAM } from "./harness/executor-program.ts";
import { OciBundle } from "./harness/oci-bundle.ts";
import { patient } from "./harness/patience.ts";

const oci = new OciBundle();
process.env["NODE_COMPILE_CACHE"] = join(oci.base, "compiled");
const COMMAND = [process.execPath, EXECUTOR_PROGRAM, "--root", join(oci.base, "root")];
/** After which a command is held to go on for ever. */
const HUNG_MS = patient(60_000);
/** Prints until nobody takes it. */
const TALK = "while echo line; do :; done; exit 9";
after(() => oci.end());

function group(): string {
  const name = oci.nextCgroup();
  return existsSync("/sys/fs/cgroup/cgroup.controllers")
    ? `/sys/fs/cgroup${name}`
    : `/sys/fs/cgroup/pids${name}`;
}

/** What a reader of the first line sees, and the status of the command before it. */
function firstLine(...args: string[]): { line: string; status: number; errors: string } {
  const script = `{ "$@" </dev/null; echo "status $?" >&2; } | head -n 1`;
  const { stdout, stderr } = spawnSync("sh", ["-c", script, "sh", ...COMMAND, ...args], { encoding: "utf8" });
  const status = Number(/status (\d+)\n$/.exec(stderr)?.[1]);
  return { line: stdout, status, errors: stderr.replace(/status \d+\n$/, "") };
}

test("who reads the output goes: the process is told, and nothing is left of it", () => {
  const used = group();
  oci.configure(["sh", "-c", TALK], { terminal: true });
  assert.deepEqual(firstLine("run", "-b", oci.bundle, "talk"), { line: "line\r\n", status: 9, errors: "" });
  assert.deepEqual(oci.containers(), []);
  assert.equal(existsSync(used), false);

  // It need not end.
  oci.configure(
    ["sh", "-c", `(${TALK}); echo $? >/status; sleep 0.3; exit 7`],
    { terminal: true },
    {},
    {
      root: { path: "rootfs", readonly: false },
    },
  );
  assert.deepEqual(firstLine("run", "-b", oci.bundle, "on"), { line: "line\r\n", status: 7, errors: "" });
  assert.ok(existsSync(join(oci.rootfs, "status")));
  assert.deepEqual(oci.containers(), []);
});

test("the same of an executed process, whose container goes on", () => {
  oci.configure(["sleep", "300"]);
  assert.equal(oci.detached(["run", "-d", "-b", oci.bundle, "stays"]), 0);
  const exec = firstLine("exec", "-t", "stays", "sh", "-c", `trap '' HUP; ${TALK}`);
  assert.deepEqual(exec, { line: "line\r\n", status: 9, errors: "" });
  assert.equal((JSON.parse(oci.oci(["state", "stays"]).out) as { status: string }).status, "running");
  assert.equal(oci.oci(["delete", "--force", "stays"]).code, 0);
  assert.deepEqual(oci.containers(), []);
});

test("its own terminal goes: the container ends, and nothing is left", async () => {
  const used = group();
  oci.configure(["sh", "-c", TALK], { terminal: true });
  const run = [...COMMAND, "run", "-b", oci.bundle, "gone"].join(" ");
  const terminal = spawn("script", ["-qec", `exec ${run}`, "/dev/null"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  await once(terminal.stdout, "data");
  terminal.kill("SIGKILL");
  await once(terminal, "close");
  while (oci.containers().length > 0) await sleep(20);
  assert.equal(existsSync(used), false);
});

test("an input that cannot be read is none", () => {
  oci.configure(["sh", "-c", "sleep 0.2; echo done; exit 3"], { terminal: true });
  const script = `exec "$@" </`;
  const args = ["-c", script, "sh", ...COMMAND, "run", "-b", oci.bundle, "unread"];
  const { status, stdout, stderr } = spawnSync("sh", args, { encoding: "utf8" });
  assert.deepEqual([status, stdout, stderr], [3, "done\r\n", ""]);
  assert.deepEqual(oci.containers(), []);
});

/** Prints, and exits with 3, without reading what it is given. */
const PRINT = "busybox stty -echo; sleep 0.3; echo; busybox seq 4000; exit 3";

/** The command with endless input, and its output through a reader. */
function flooded(reader: string, ...args: string[]): { output: string; status: number; errors: string } {
  const script = `yes 2>/dev/null | { "$@"; echo "status $?" >&2; } | ${reader}`;
  const all = ["-c", script, "sh", ...COMMAND, ...args];
  const { stdout, stderr } = spawnSync("sh", all, { encoding: "utf8", timeout: HUNG_MS });
  const status = Number(/status (\d+)\n$/.exec(stderr)?.[1]);
  return { output: stdout, status, errors: stderr.replace(/status \d+\n$/, "") };
}

test("more input than the process reads: its output comes whole", () => {
  const output = Array.from({ length: 4000 }, (_, index) => `${index + 1}\r\n`).join("");
  oci.configure(["sh", "-c", PRINT], { terminal: true });
  const run = flooded("tail -n 4000", "run", "-b", oci.bundle, "flooded");
  assert.deepEqual(run, { output, status: 3, errors: "" });

  oci.configure(["sleep", "300"]);
  assert.equal(oci.detached(["run", "-d", "-b", oci.bundle, "stays"]), 0);
  const exec = flooded("tail -n 4000", "exec", "-t", "stays", "sh", "-c", PRINT);
  assert.deepEqual(exec, { output, status: 3, errors: "" });
  assert.equal(oci.oci(["delete", "--force", "stays"]).code, 0);
  assert.deepEqual(oci.containers(), []);
});

test("more input than the process reads: its terminal hangs up when nobody reads the output", () => {
  oci.configure(["sh", "-c", `sleep 0.3; ${TALK}`], { terminal: true });
  const { output, status, errors } = flooded("head -n 1", "run", "-b", oci.bundle, "hung");
  // The terminal echoes what it gets.
  assert.match(output, /^(y|line)\r\n$/);
  assert.deepEqual([status, errors], [9, ""]);
  assert.deepEqual(oci.containers(), []);
});

test("all of a long input arrives, in order, at a process that is slow to read it", () => {
  const reads = "busybox stty raw -echo; echo; sleep 0.3; busybox head -c 600000 | busybox md5sum";
  oci.configure(["sh", "-c", reads], { terminal: true });
  const numbers = "seq -w 100000 | head -c 600000";
  const script = `${numbers} | "$@"; ${numbers} | md5sum`;
  const args = ["-c", script, "sh", ...COMMAND, "run", "-b", oci.bundle, "long"];
  const { stdout, stderr } = spawnSync("sh", args, { encoding: "utf8", timeout: HUNG_MS });
  assert.equal(stderr, "");
  const [received, sent] = stdout.match(/^[0-9a-f]{32}(?= )/gm) ?? [];
  assert.equal(received, sent);
  assert.ok(sent);
});

test("an output file that cannot be written is an error", () => {
  oci.configure(["sh", "-c", TALK], { terminal: true });
  // The first page of a process is never mapped: EIO.
  const script = `exec 3>/proc/self/mem; "$@" >&3 </dev/null`;
  const args = ["-c", script, "sh", ...COMMAND, "run", "-b", oci.bundle, "disk"];
  const { status, stderr } = spawnSync("sh", args, { encoding: "utf8" });
  assert.match(stderr, /EIO/);
  assert.equal(status, 1);
  assert.deepEqual(oci.containers(), []);
});
