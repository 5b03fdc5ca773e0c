import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { helloFrame } from "./connection.ts";
import { encodeFrame } from "./frame.ts";
import { MESSAGE, OPTION } from "./protocol.ts";
import {
  collect,
  ended,
  eventually,
  never,
  readLog,
  runExec,
  shell,
  shimFixture,
  stubPlan,
} from "./stub-shim.ts";

const FOREVER = "exec sleep 1000";

function residentKb(pid: number): number {
  return Number(/^Rss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1]);
}

const descriptors = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

test("exit codes, signals, output and input", async (t) => {
  const { start } = shimFixture(t);
  const shim = await start("a", FOREVER);
  assert.deepEqual(await runExec(shim, shell("echo out; echo err >&2; exit 7")), {
    exitCode: 7,
    signal: 0,
    stdout: "out\n",
    stderr: "err\n",
  });
  assert.equal((await runExec(shim, shell("kill -11 $$"))).exitCode, 139);
  assert.equal((await runExec(shim, shell("cat; echo end"), "fed")).stdout, "fedend\n");
  assert.equal((await runExec(shim, shell("readlink /proc/self/fd/0"))).stdout, "/dev/null\n");
  const big = "0123456789abcdef".repeat(65536);
  assert.equal((await runExec(shim, stubPlan(["/bin/cat"]), big)).stdout, big);
});

test("many at once", async (t) => {
  const { start } = shimFixture(t);
  const shim = await start("a", FOREVER);
  const results = await Promise.all(
    Array.from({ length: 40 }, (_, i) => runExec(shim, shell(`echo ${i}; sleep 0.2; exit ${i}`))),
  );
  assert.deepEqual(
    results.map(({ exitCode, stdout }) => [exitCode, stdout]),
    Array.from({ length: 40 }, (_, i) => [i, `${i}\n`]),
  );
});

test("more than there are places wait for their turn", async (t) => {
  const { start } = shimFixture(t);
  const shim = await start("a", FOREVER);
  const results = await Promise.all(Array.from({ length: 150 }, () => runExec(shim, shell("sleep 0.3"))));
  assert.ok(results.every(({ exitCode }) => exitCode === 0));
});

test("a plan that fails is reported with its facts", async (t) => {
  const { start } = shimFixture(t);
  const shim = await start("a", FOREVER);
  const options = {
    plan: stubPlan([], { fail: true }),
    terminal: false,
    stdin: true,
    killOnDisconnect: true,
  };
  await assert.rejects(shim.exec(options, never), /container "a": stub \/nowhere: ENOENT/);
});

test("a terminal: size, resize, and its bytes as they are", async (t) => {
  const { start } = shimFixture(t);
  const shim = await start("a", FOREVER);
  const plan = shell("read line; stty size; echo done", { terminal: true });
  const exec = await shim.exec({ plan, terminal: true, stdin: true, killOnDisconnect: true }, never);
  assert.equal(exec.stderr, undefined);
  await exec.resize(120, 40);
  exec.stdin?.write("go\n");
  const [output, exit] = await Promise.all([collect(exec.stdout), exec.wait()]);
  assert.equal(output, "go\r\n40 120\r\ndone\r\n");
  assert.equal(exit.exitCode, 0);
});

test("resize without a terminal is refused", async (t) => {
  const { start } = shimFixture(t);
  const shim = await start("a", FOREVER);
  await assert.rejects(shim.resize(80, 24), { kind: "failed-precondition" });
});

test("kill reaches the process also while its input is blocked", async (t) => {
  const { start } = shimFixture(t);
  const shim = await start("a", FOREVER);
  const exec = await shim.exec(
    { plan: shell(FOREVER), terminal: false, stdin: true, killOnDisconnect: true },
    never,
  );
  for (let i = 0; i < 100; i++) exec.stdin?.write(Buffer.alloc(65536));
  exec.stdout.resume();
  exec.stderr?.resume();
  await exec.kill(9);
  assert.deepEqual(await exec.wait(), { exitCode: 137, signal: 9 });
  await assert.rejects(exec.kill(9), { kind: "not-found" });
});

test("a background process that holds the pipe delays the exit by a moment only", async (t) => {
  const { start } = shimFixture(t);
  const shim = await start("a", FOREVER);
  const result = await runExec(shim, shell(`${FOREVER} & head -c 50000 /dev/zero; exit 3`));
  assert.equal(result.exitCode, 3);
  assert.equal(result.stdout.length, 50000);
});

test("a reader that is slow gets everything all the same", async (t) => {
  const { start } = shimFixture(t);
  const shim = await start("a", FOREVER);
  const plan = shell(`${FOREVER} & head -c 1000000 /dev/zero`);
  const exec = await shim.exec({ plan, terminal: false, stdin: false, killOnDisconnect: true }, never);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const [stdout] = await Promise.all([collect(exec.stdout), collect(exec.stderr)]);
  assert.equal(stdout.length, 1_000_000);
});

test("what the client does not read is not taken from the process", async (t) => {
  const { start, directory } = shimFixture(t);
  const shim = await start("a", FOREVER);
  const count = join(directory, "count");
  const script = `i=0; while :; do head -c 100000 /dev/zero; i=$((i+1)); echo $i > ${count}.new; mv ${count}.new ${count}; done`;
  const exec = await shim.exec(
    { plan: shell(script), terminal: false, stdin: false, killOnDisconnect: true },
    never,
  );
  await eventually("the first piece", () => existsSync(count));
  // It goes on until what is between it and the client is full, and then no further.
  let before = "";
  for (let now = readFileSync(count, "utf8"); now !== before; now = readFileSync(count, "utf8")) {
    before = now;
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.ok(Number(now) < 20, `process went on to ${now}`);
  }
  if (!process.env["GANTRY_TEST_SANITIZE"]) assert.ok(residentKb(shim.shimPid) < 2000);
  exec.close();
  await eventually("the killed process", () => ended(exec.pid));
});

test("leaving kills the process and its group if asked, else it runs on", async (t) => {
  const { start, directory } = shimFixture(t);
  const shim = await start("a", FOREVER);
  for (const killOnDisconnect of [true, false]) {
    const file = join(directory, `end-${killOnDisconnect}`);
    const plan = shell(`(sleep 0.5; echo x; echo x > ${file}) & sleep 0.3; echo y; wait`);
    const exec = await shim.exec({ plan, terminal: false, stdin: false, killOnDisconnect }, never);
    exec.close();
    await eventually("the end of the process", () => ended(exec.pid));
    await new Promise((resolve) => setTimeout(resolve, 600));
    assert.equal(existsSync(file), !killOnDisconnect);
  }
});

test("an abort before the answer kills what was started", async (t) => {
  const { start, directory } = shimFixture(t);
  const shim = await start("a", FOREVER);
  const file = join(directory, "ran");
  for (let i = 0; i < 5; i++) {
    const abort = new AbortController();
    const options = {
      plan: shell(`sleep 0.5; echo x > ${file}`),
      terminal: false,
      stdin: false,
      killOnDisconnect: false,
    };
    const exec = shim.exec(options, abort.signal);
    abort.abort();
    await assert.rejects(exec, { name: "AbortError" });
  }
  await new Promise((resolve) => setTimeout(resolve, 800));
  assert.ok(!existsSync(file));
});

test("a thousand execs whose client drops leave descriptors, processes and memory as they were", async (t) => {
  const { start, directory } = shimFixture(t);
  const shim = await start("a", FOREVER);
  const path = join(directory, "shims/a/sock");
  const drop = (terminal: boolean): Promise<void> =>
    new Promise((resolve) => {
      const options = OPTION.KILL_ON_DISCONNECT | OPTION.STDIN | (terminal ? OPTION.TERMINAL : 0);
      const fields = { PLAN: shell("cat; exec sleep 1000", { terminal }), OPTIONS: options };
      const socket = createConnection({ path }, () => {
        socket.write(Buffer.concat([helloFrame(), encodeFrame(MESSAGE.EXEC, 1, fields)]));
        socket.write(encodeFrame(MESSAGE.RESIZE, 2, { WIDTH: 80, HEIGHT: 24 }));
        setTimeout(() => socket.destroy(), Math.random() * 4);
      });
      socket.on("data", () => undefined);
      socket.on("error", () => undefined);
      socket.on("close", () => resolve());
    });
  const children = (): number =>
    readFileSync(`/proc/${shim.shimPid}/task/${shim.shimPid}/children`, "utf8").trim().split(/\s+/).length;
  const round = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i += 10)
      await Promise.all(Array.from({ length: 10 }, (_, k) => drop(k % 2 === 0)));
    await eventually("the killed processes", () => children() === 1);
  };
  /* A killed process may be reaped before the end of its connection, or of one that began nothing, is seen. */
  const idle = descriptors(shim.shimPid);
  const settled = (): Promise<void> =>
    eventually("the closed connections", () => descriptors(shim.shimPid) <= idle);
  await round(100);
  await settled();
  const before = { fds: descriptors(shim.shimPid), kb: residentKb(shim.shimPid) };
  await round(1000);
  await settled();
  const after = { fds: descriptors(shim.shimPid), kb: residentKb(shim.shimPid) };
  t.diagnostic(JSON.stringify({ before, after }));
  assert.ok(after.fds <= before.fds);
  if (!process.env["GANTRY_TEST_SANITIZE"]) assert.ok(after.kb <= before.kb + 40);
});

test("a client that never reads its replies is dropped, others are served", async (t) => {
  const { start, directory } = shimFixture(t);
  const shim = await start("a", FOREVER);
  const before = descriptors(shim.shimPid);
  const socket = createConnection({ path: join(directory, "shims/a/sock") });
  const closed = new Promise((resolve) => socket.on("close", resolve));
  socket.on("error", () => undefined);
  socket.pause();
  socket.write(helloFrame());
  await eventually("the connection", () => descriptors(shim.shimPid) > before);
  const requests = Buffer.concat(Array.from({ length: 1000 }, (_, i) => encodeFrame(MESSAGE.STATUS, i)));
  for (let i = 0; i < 20; i++) socket.write(requests);
  assert.equal((await runExec(shim, shell("exit 5"))).exitCode, 5);
  await eventually("the client to be dropped", () => descriptors(shim.shimPid) <= before);
  socket.resume();
  await closed;
});

test("exec in a container that has exited is refused", async (t) => {
  const { start } = shimFixture(t);
  const shim = await start("a", "exit 0");
  await shim.wait();
  const options = { plan: shell("true"), terminal: false, stdin: false, killOnDisconnect: true };
  await assert.rejects(shim.exec(options, never), { kind: "not-found" });
});

test("a process that ends without reading its input is told with its output and exit code", async (t) => {
  const { start } = shimFixture(t);
  const shim = await start("a", FOREVER);
  const input = "x".repeat(1 << 20);
  for (let i = 0; i < 50; i++) {
    const result = await runExec(shim, shell("head -c 3; exit 9"), input);
    assert.deepEqual(result, { exitCode: 9, signal: 0, stdout: "xxx", stderr: "" });
  }
});

test("what a terminal holds at the exit is delivered, also to a slow reader", async (t) => {
  const { start } = shimFixture(t);
  const shim = await start("a", FOREVER);
  for (const pauseMs of [0, 300]) {
    const plan = shell("trap '' HUP; sleep 3 & head -c 60000 /dev/zero | tr '\\0' y; exit 3", {
      terminal: true,
    });
    const exec = await shim.exec({ plan, terminal: true, stdin: false, killOnDisconnect: true }, never);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
    assert.equal((await collect(exec.stdout)).length, 60000);
    assert.equal((await exec.wait()).exitCode, 3);
  }
});

test("a launch that hangs holds up nothing but itself", async (t) => {
  const { start, directory, log } = shimFixture(t);
  const shim = await start("a", "while :; do echo tick; sleep 0.05; done");
  const hangFile = join(directory, "hang");
  const ran = join(directory, "ran");
  writeFileSync(hangFile, "");
  const options = { terminal: false, stdin: false, killOnDisconnect: true };
  const plan = shell(`echo > ${ran}; exit 6`, { hangFile });
  const hung = shim.exec({ plan, ...options }, never);
  const abort = new AbortController();
  const aborted = shim.exec({ plan, ...options }, abort.signal);
  assert.equal((await runExec(shim, shell("exit 5"))).exitCode, 5);
  const lines = readLog(log("a")).length;
  await eventually("more output", () => readLog(log("a")).length > lines + 2);
  abort.abort();
  await assert.rejects(aborted, { name: "AbortError" });
  rmSync(hangFile);
  assert.equal((await (await hung).wait()).exitCode, 6);
  await shim.kill(9);
  assert.equal((await shim.wait()).exitCode, 137);
  const children = `/proc/${shim.shimPid}/task/${shim.shimPid}/children`;
  await eventually("the last orphan's end", () => readFileSync(children, "utf8").trim() === "");
});

test("execs given up while the shim is stuck are closed at once and never begun", async (t) => {
  const { start, directory } = shimFixture(t);
  const shim = await start("a", FOREVER);
  const ran = join(directory, "ran");
  const before = descriptors(process.pid);
  process.kill(shim.shimPid, "SIGSTOP");
  for (let i = 0; i < 20; i++) {
    const options = { plan: shell(`echo > ${ran}`), terminal: false, stdin: false, killOnDisconnect: true };
    await assert.rejects(shim.exec(options, AbortSignal.timeout(10)), { name: "TimeoutError" });
  }
  await eventually("the closed connections", () => descriptors(process.pid) <= before);
  process.kill(shim.shimPid, "SIGCONT");
  assert.equal((await runExec(shim, shell("exit 5"))).exitCode, 5);
  assert.ok(!existsSync(ran));
});
