import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { patient } from "../../test/harness/patience.ts";
import { collect, eventually, joinLog, never, readLog, shimFixture } from "./stub-shim.ts";

test("an attached client gets the output from then on and feeds input", async (t) => {
  const { start, log } = shimFixture(t);
  const shim = await start(
    "a",
    "echo before; while read line; do echo got $line; echo err >&2; done; exit 2",
    {
      stdin: true,
      stdinOnce: true,
    },
  );
  await eventually("the first line", () => readLog(log("a")).length === 1);
  const first = await shim.attach(never);
  const second = await shim.attach(never);
  first.stdin?.write("one\n");
  first.stdin?.end("two\n");
  const outputs = await Promise.all(
    [first, second].flatMap((client) => [collect(client.stdout), collect(client.stderr)]),
  );
  assert.deepEqual(outputs, ["got one\ngot two\n", "err\nerr\n", "got one\ngot two\n", "err\nerr\n"]);
  assert.equal((await shim.wait()).exitCode, 2);
  assert.equal(joinLog(readLog(log("a")), "stdout"), "before\ngot one\ngot two\n");
  await assert.rejects(shim.attach(never), { kind: "not-found" });
});

test("stdinOnce closes the input when the first client that sent any has gone", async (t) => {
  const { start, log } = shimFixture(t);
  const shim = await start("a", "cat; echo end", { stdin: true, stdinOnce: true });
  const watcher = await shim.attach(never);
  watcher.close();
  const client = await shim.attach(never);
  client.stdin?.write("text\n");
  await eventually("the echo", () => readLog(log("a")).length === 1);
  client.close();
  await shim.wait();
  assert.equal(joinLog(readLog(log("a")), "stdout"), "text\nend\n");
});

test("without stdinOnce the input stays open", async (t) => {
  const { start, log } = shimFixture(t);
  const shim = await start("a", "cat; echo end", { stdin: true });
  for (const word of ["one", "two"]) {
    const client = await shim.attach(never);
    client.stdin?.end(`${word}\n`);
    await eventually("the echo", () => joinLog(readLog(log("a")), "stdout").endsWith(`${word}\n`));
    client.close();
  }
  await shim.kill(9);
  await shim.wait();
  assert.equal(joinLog(readLog(log("a")), "stdout"), "one\ntwo\n");
});

test("a container with a terminal: attach, resize, log as the terminal has it", async (t) => {
  const { start, log } = shimFixture(t);
  const shim = await start("a", "read line; stty size; exit 1", { terminal: true, stdin: true });
  await shim.resize(100, 50);
  const client = await shim.attach(never);
  assert.equal(client.stderr, undefined);
  client.stdin?.write("go\n");
  assert.equal(await collect(client.stdout), "go\r\n50 100\r\n");
  assert.equal((await shim.wait()).exitCode, 1);
  assert.equal(joinLog(readLog(log("a")), "stdout"), "go\r\n50 100\r\n");
});

test("a container that closes its terminal and opens it again is still heard", async (t) => {
  const { start, log } = shimFixture(t);
  const script = "tty=$(tty); echo one; exec <&- >&- 2>&-; sleep 0.5; exec >$tty; echo two; sleep 0.5";
  const shim = await start("a", script, { terminal: true });
  await shim.wait();
  assert.equal(joinLog(readLog(log("a")), "stdout"), "one\r\ntwo\r\n");
});

test("a client that does not read holds the container up for a while and is then dropped", async (t) => {
  const { start, log, directory } = shimFixture(t);
  const go = join(directory, "go");
  const done = join(directory, "done");
  const script = `while [ ! -e ${go} ]; do sleep 0.01; done; head -c 4000000 /dev/zero | tr '\\0' x | fold; echo > ${done}`;
  const shim = await start("a", script);
  const stuck = await shim.attach(never);
  assert.equal(stuck.stdin, undefined);
  writeFileSync(go, "");
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.ok(!existsSync(done), "the container did not wait for its reader");
  await shim.wait();
  assert.ok(joinLog(readLog(log("a")), "stdout").length > 4_000_000);
  const got = await collect(stuck.stdout).catch(() => "dropped");
  assert.equal(got, "dropped");
});

test("a slow client that reads gets everything", async (t) => {
  const { start } = shimFixture(t);
  const shim = await start("a", "read x; head -c 4000000 /dev/zero | tr '\\0' x", { stdin: true });
  const client = await shim.attach(never);
  client.stdin?.write("\n");
  let length = 0;
  for await (const chunk of client.stdout) {
    length += (chunk as Buffer).length;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.equal(length, 4_000_000);
});

test("with stdinOnce, whoever waits for the process to read goes on when another closes the input", async (t) => {
  const { start } = shimFixture(t);
  const shim = await start("a", "exec sleep 1000", { stdin: true, stdinOnce: true });
  const [blocked, closing] = [await shim.attach(never), await shim.attach(never)];
  const { promise, resolve } = Promise.withResolvers<string>();
  blocked.stdin?.write(Buffer.alloc(4 << 20), () => resolve("taken"));
  await new Promise((done) => setTimeout(done, 200));
  closing.stdin?.end();
  const late = new Promise<string>((done) => setTimeout(done, patient(30_000), "stuck").unref());
  assert.equal(await Promise.race([promise, late]), "taken");
});
