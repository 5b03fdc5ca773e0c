import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { patient } from "../../test/harness/patience.ts";
import { silentLogger } from "../base/logger.ts";
import { createShimManager } from "./shim-manager.ts";
import { eventually, joinLog, never, readLog, shell, shimFixture, START } from "./stub-shim.ts";

const LINE = 16384;

test("lines carry time, stream and tag, and no line is torn by the other stream", async (t) => {
  const { start, log } = shimFixture(t);
  const script = `
    (i=0; while [ $i -lt 2000 ]; do echo "out $i"; i=$((i+1)); done) &
    (i=0; while [ $i -lt 2000 ]; do echo "err $i" >&2; i=$((i+1)); done) &
    wait`;
  const shim = await start("a", script);
  await shim.wait();
  const lines = readLog(log("a"));
  for (const [stream, word] of [
    ["stdout", "out"],
    ["stderr", "err"],
  ] as const) {
    const expected = Array.from({ length: 2000 }, (_, i) => `${word} ${i}`);
    const own = lines.filter((line) => line.stream === stream);
    assert.deepEqual(
      own.map((line) => line.text),
      expected,
    );
    assert.ok(own.every((line) => line.tag === "F"));
  }
  const times = lines.map((line) => line.time);
  assert.deepEqual(times, times.toSorted());
  assert.ok(Math.abs(Date.parse(times[0] ?? "") - Date.now()) < 60_000);
  assert.equal(statSync(log("a")).mode & 0o777, 0o640);
});

test("long lines are split at 16 KiB into partial ones", async (t) => {
  const { start, log, directory } = shimFixture(t);
  const sizes = [0, 1, LINE - 1, LINE, LINE + 1, 2 * LINE, 2 * LINE + 1, 5 * LINE - 1, 300_000];
  const input = sizes.map((size) => `${"x".repeat(size)}\n`).join("");
  writeFileSync(join(directory, "input"), input);
  const shim = await start("a", `cat ${directory}/input`);
  await shim.wait();
  const lines = readLog(log("a"));
  assert.equal(joinLog(lines, "stdout"), input);
  const expected = sizes.flatMap((size) => {
    const partial = Math.max(0, Math.ceil(size / LINE) - 1);
    return [...Array.from({ length: partial }, () => `P${LINE}`), `F${size - partial * LINE}`];
  });
  assert.deepEqual(
    lines.map((line) => `${line.tag}${line.text.length}`),
    expected,
  );
});

test("every byte is kept, and an unterminated last line is partial", async (t) => {
  const { start, log, directory } = shimFixture(t);
  const bytes = Buffer.alloc(1_000_000);
  let state = 12345;
  for (let i = 0; i < bytes.length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    bytes[i] = state >>> 16;
  }
  bytes[bytes.length - 1] = 0;
  writeFileSync(join(directory, "input"), bytes);
  const shim = await start("a", `cat ${directory}/input; printf 'crlf\\r\\n' >&2`);
  await shim.wait();
  const lines = readLog(log("a"));
  assert.ok(Buffer.from(joinLog(lines, "stdout"), "latin1").equals(bytes));
  assert.equal(joinLog(lines, "stderr"), "crlf\r\n");
  assert.equal(lines.filter((line) => line.stream === "stdout").at(-1)?.tag, "P");
});

test("bytes written one by one give the same lines", async (t) => {
  const { start, log } = shimFixture(t);
  const shim = await start("a", `for c in a b '\\n' c d '\\n' '\\n' e; do printf "$c"; sleep 0.01; done`);
  await shim.wait();
  const lines = readLog(log("a"));
  assert.deepEqual(
    lines.map((line) => line.tag + line.text),
    ["Fab", "Fcd", "F", "Pe"],
  );
});

test("output is complete in the log when the exit is told, and stragglers are still written", async (t) => {
  const { start, log } = shimFixture(t);
  const shim = await start(
    "a",
    `(sleep 0.5; echo late) & printf 'at exit'; head -c 60000 /dev/zero >&2; exit 4`,
  );
  assert.equal((await shim.wait()).exitCode, 4);
  const lines = readLog(log("a"));
  assert.equal(joinLog(lines, "stdout"), "at exit");
  assert.equal(joinLog(lines, "stderr").length, 60000);
  await eventually("the straggler's line", () => joinLog(readLog(log("a")), "stdout") === "at exitlate\n");
});

test("reopening goes on in a new file and loses nothing", async (t) => {
  const { start, log } = shimFixture(t);
  const shim = await start("a", `i=0; while [ $i -lt 20000 ]; do echo "line $i"; i=$((i+1)); done`);
  for (let round = 0; round < 10; round++) {
    renameSync(log("a"), `${log("a")}.${round}`);
    await shim.reopenLog();
  }
  await shim.wait();
  const files = [...Array.from({ length: 10 }, (_, i) => `${log("a")}.${i}`), log("a")];
  const text = files.map((file) => joinLog(readLog(file), "stdout")).join("");
  assert.equal(text, Array.from({ length: 20000 }, (_, i) => `line ${i}\n`).join(""));
});

test("a failed reopen makes no file and keeps the old one", async (t) => {
  const { start, log, directory } = shimFixture(t);
  mkdirSync(join(directory, "pod"));
  const path = join(directory, "pod/log");
  const shim = await start("a", `echo one; while [ ! -e ${directory}/go ]; do sleep 0.01; done; echo two`, {
    log: { path },
  });
  await eventually("the first line", () => readLog(path).length === 1);
  const kept = join(directory, "kept");
  renameSync(path, kept);
  symlinkSync(join(directory, "elsewhere"), path);
  await assert.rejects(shim.reopenLog(), /log: ELOOP/);
  rmSync(path);
  execFileSync("mkfifo", [path]);
  await assert.rejects(shim.reopenLog(), /ENXIO/);
  rmSync(join(directory, "pod"), { recursive: true });
  await assert.rejects(shim.reopenLog(), /ENOENT/);
  writeFileSync(join(directory, "go"), "");
  await shim.wait();
  assert.ok(!existsSync(join(directory, "elsewhere")) && !existsSync(path));
  assert.equal(joinLog(readLog(kept), "stdout"), "one\ntwo\n");
  assert.ok(!existsSync(log("a")));
});

test("a log that cannot be opened fails the start and leaves nothing", async (t) => {
  const { start, directory, manager } = shimFixture(t);
  symlinkSync("/dev/null", join(directory, "link"));
  for (const path of [join(directory, "missing/log"), join(directory, "link"), directory]) {
    await assert.rejects(
      start("a", "echo", { log: { path } }),
      /container "a": open .*: (ENOENT|ELOOP|EISDIR)/,
    );
    assert.deepEqual(await manager.list(), []);
  }
});

test("a full disk stops the container and loses nothing once there is room", async (t) => {
  const { start, directory, disk } = shimFixture(t);
  const path = join(disk("8m"), "log");
  const ballast = `${path}.ballast`;
  writeFileSync(ballast, Buffer.alloc(7_800_000));
  const script = `i=0; while [ $i -lt 60000 ]; do echo "a line of the container $i"; i=$((i+1)); done; echo done > ${directory}/done`;
  const shim = await start("a", script, { log: { path } });
  await eventually("the disk to be full", () => statSync(path).size > 250_000);
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.ok(
    !existsSync(join(directory, "done")),
    "the container went on while its output could not be written",
  );
  const before = await shim.exec(
    { plan: Buffer.from("--P/bin/true\0"), terminal: false, stdin: false, killOnDisconnect: true },
    AbortSignal.timeout(patient(30_000)),
  );
  assert.equal((await before.wait()).exitCode, 0, "the shim answers meanwhile");
  /* Rotated in the middle of a torn line: the line goes whole to the new file. */
  renameSync(path, `${path}.old`);
  await shim.reopenLog();
  rmSync(ballast);
  await shim.wait();
  const text = joinLog(readLog(`${path}.old`), "stdout") + joinLog(readLog(path), "stdout");
  assert.equal(text, Array.from({ length: 60000 }, (_, i) => `a line of the container ${i}\n`).join(""));
});

test("a container that exits with a full disk is reported; its deletion waits for room, or is forced", async (t) => {
  const { start, disk, manager } = shimFixture(t);
  const directory = disk("128k");
  const path = join(directory, "log");
  writeFileSync(join(directory, "filler"), Buffer.alloc(96 * 1024));
  const script = "head -c 50000 /dev/zero | tr '\\0' 'x' | fold; exit 3";
  const [first, second] = [
    await start("a", script, { log: { path } }),
    await start("b", script, { log: { path: `${path}-b` } }),
  ];
  for (const shim of [first, second]) assert.equal((await shim.wait()).exitCode, 3);
  let deleted = false;
  const deletion = first.delete().then(() => (deleted = true));
  const forced = second.delete();
  await manager.discard("b");
  await forced;
  assert.deepEqual(await manager.list(), ["a"]);
  assert.ok(!deleted);
  rmSync(`${path}-b`);
  rmSync(join(directory, "filler"));
  await deletion;
  assert.deepEqual(await manager.list(), []);
  assert.equal(joinLog(readLog(path), "stdout").replaceAll("\n", "").length, 50_000);
});

test("220 MB in two million lines", async (t) => {
  const { start, log } = shimFixture(t);
  const begin = performance.now();
  const shim = await start("a", `yes ${"x".repeat(109)} | head -n 2000000`);
  await shim.wait();
  const ms = performance.now() - begin;
  const content = readFileSync(log("a"));
  assert.equal(content.length, 2_000_000 * (40 + 110));
  let lines = 0;
  for (let at = content.indexOf(10); at >= 0; at = content.indexOf(10, at + 1)) lines++;
  assert.equal(lines, 2_000_000);
  t.diagnostic(`220 MB, start to exit: ${ms.toFixed(0)} ms`);
});

test("what a terminal holds at the exit is in the log when the exit is told", async (t) => {
  const { start, log } = shimFixture(t);
  for (let i = 0; i < 20; i++) {
    const shim = await start(`a${i}`, "stty -opost; head -c 60000 /dev/zero | tr '\\0' y", {
      terminal: true,
    });
    await shim.wait();
    assert.equal(joinLog(readLog(log(`a${i}`)), "stdout").length, 60000);
    await shim.delete();
  }
});

test("an exit with a full state directory is told, and recorded once there is room", async (t) => {
  const { disk, program } = shimFixture(t);
  const state = disk("64k");
  const manager = createShimManager({ stateDirectory: state, program, log: silentLogger });
  const plan = shell("read x; exit 5");
  const shim = await manager.start({ ...START, id: "a", plan, stdin: true }, never);
  const filler = join(state, "filler");
  assert.throws(() => writeFileSync(filler, Buffer.alloc(1 << 20)), { code: "ENOSPC" });
  const { stdin } = await shim.attach(never);
  stdin?.end("\n");
  assert.equal((await shim.wait()).exitCode, 5);
  shim.disconnect();
  assert.ok(!existsSync(join(state, "shims/a/exit")));
  rmSync(filler);
  await eventually("the record", () => existsSync(join(state, "shims/a/exit")));
  process.kill(shim.shimPid, "SIGKILL");
  assert.equal((await (await manager.connect("a"))?.wait())?.exitCode, 5);
});
