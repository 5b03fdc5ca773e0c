import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { GantryError } from "../base/errors.ts";
import { silentLogger } from "../base/logger.ts";
import { createShimManager } from "./shim-manager.ts";
import {
  ended,
  eventually,
  joinLog,
  never,
  readLog,
  runExec,
  shell,
  shimFixture,
  START,
  stubPlan,
} from "./stub-shim.ts";

const FOREVER = "exec sleep 1000";

function stat(pid: number): { parent: number; session: number } {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return { parent: Number(fields[1]), session: Number(fields[3]) };
}

function status(pid: number, name: string): string {
  return new RegExp(`^${name}:\\s+(.*)$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "";
}

test("a shim is nobody's child, has its own session, and hands nothing on", async (t) => {
  const { start, directory } = shimFixture(t);
  const shim = await start("a", "", { plan: stubPlan(["/bin/sleep", "1000"]) });
  assert.notEqual(stat(shim.shimPid).parent, process.pid);
  assert.equal(stat(shim.shimPid).session, shim.shimPid);
  assert.equal(readFileSync(`/proc/${shim.shimPid}/environ`, "utf8"), "");
  assert.equal(readFileSync(`/proc/${shim.shimPid}/cmdline`, "utf8"), "gantry-shim\0run\0a\0");
  assert.equal(stat(shim.initPid).parent, shim.shimPid);
  const executed = (): boolean => readFileSync(`/proc/${shim.initPid}/comm`, "utf8") === "sleep\n";
  await eventually("the command to be executed", executed);
  assert.deepEqual(readdirSync(`/proc/${shim.initPid}/fd`).toSorted(), ["0", "1", "2"]);
  for (const name of ["SigBlk", "SigIgn"]) assert.equal(status(shim.initPid, name), "0000000000000000");
  assert.equal(statSync(join(directory, "shims")).mode & 0o777, 0o700);
  assert.equal(statSync(join(directory, "shims/a")).mode & 0o777, 0o700);
  assert.equal(statSync(join(directory, "shims/a/sock")).mode & 0o777, 0o600);
  assert.ok(!readFileSync("/proc/net/unix", "utf8").includes("@gantry"));
  const own = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, "utf8");
  assert.ok(!own.split(" ").includes(String(shim.shimPid)));
});

test("created, started, exited, deleted", async (t) => {
  const { start, manager, log, directory } = shimFixture(t);
  const shim = await start("a", "echo ran; exit 3", { startNow: false });
  await assert.rejects(shim.delete(), { kind: "failed-precondition" });
  assert.equal(readFileSync(log("a"), "utf8"), "");
  await shim.start(never);
  const before = Date.now();
  const exit = await shim.wait();
  assert.deepEqual(
    { ...exit, exitedAtNs: 0n },
    { exitCode: 3, signal: 0, exitedAtNs: 0n, oomKilled: false, shimLost: false },
  );
  assert.ok(Math.abs(Number(exit.exitedAtNs / 1_000_000n) - before) < 5000);
  await assert.rejects(shim.start(never), { kind: "not-found" });
  await assert.rejects(shim.kill(15), { kind: "not-found" });
  await shim.delete();
  await shim.delete();
  await eventually("the shim's end", () => ended(shim.shimPid));
  assert.deepEqual(readdirSync(join(directory, "shims")), []);
  assert.equal(await manager.connect("a"), undefined);
  assert.equal(joinLog(readLog(log("a")), "stdout"), "ran\n");
});

test("starting twice is refused", async (t) => {
  const { start } = shimFixture(t);
  const shim = await start("a", FOREVER);
  await assert.rejects(shim.start(never), { kind: "failed-precondition" });
  await assert.rejects(start("a", FOREVER), { kind: "already-exists" });
});

test("kill sends any signal, and SIGTERM does not end the shim", async (t) => {
  const { start, log } = shimFixture(t);
  const shim = await start("a", `trap 'exit 9' TERM; echo; while :; do sleep 0.01; done`);
  await eventually("the trap to be set", () => readLog(log("a")).length === 1);
  // Those from 32 are the C library's own, which none of its functions blocks.
  for (const signal of ["SIGTERM", "SIGHUP", "SIGINT", "SIGPIPE", 32, 33, 34, 35, 64] as const)
    process.kill(shim.shimPid, signal);
  await new Promise((resolve) => setTimeout(resolve, 100));
  await shim.kill(15);
  assert.equal((await shim.wait()).exitCode, 9);
  const other = await start("b", FOREVER);
  await other.kill(9);
  const { exitCode, signal } = await other.wait();
  assert.deepEqual({ exitCode, signal }, { exitCode: 137, signal: 9 });
});

test("a signal reaches the container although its shim is stuck", async (t) => {
  const { start } = shimFixture(t);
  const shim = await start("a", FOREVER);
  process.kill(shim.shimPid, "SIGSTOP");
  await shim.kill(9);
  await eventually("the container's end", () => ended(shim.initPid));
  process.kill(shim.shimPid, "SIGCONT");
  assert.equal((await shim.wait()).exitCode, 137);
});

test("the daemon may go and come back", async (t) => {
  const { start, directory, program, log } = shimFixture(t);
  const first = await start(
    "a",
    `i=0; while [ $i -lt 30 ]; do echo $i; sleep 0.01; i=$((i+1)); done; exit 6`,
  );
  const second = await start("b", FOREVER);
  const lost = first.wait();
  first.disconnect();
  second.disconnect();
  await assert.rejects(lost, { kind: "unavailable" });
  await eventually("the exit record", () => existsSync(join(directory, "shims/a/exit")));
  const exitedBy = Date.now();
  await new Promise((resolve) => setTimeout(resolve, 200));

  const manager = createShimManager({ stateDirectory: directory, program, log: silentLogger });
  assert.deepEqual((await manager.list()).toSorted(), ["a", "b"]);
  const again = await manager.connect("a");
  assert.equal(again?.shimPid, first.shimPid);
  assert.equal(again.initPid, first.initPid);
  const exit = await again.wait();
  assert.equal(exit.exitCode, 6);
  assert.ok(Number(exit.exitedAtNs / 1_000_000n) <= exitedBy);
  assert.equal(joinLog(readLog(log("a")), "stdout").split("\n").length, 31);
  const running = await manager.connect("b");
  assert.ok(running);
  assert.equal((await runExec(running, shell("exit 8"))).exitCode, 8);
  await running.kill(9);
  assert.equal((await running.wait()).exitCode, 137);
  await running.delete();
  await again.delete();
  assert.deepEqual(await manager.list(), []);
});

for (const dieWithShim of [true, false]) {
  test(`a killed shim: its container ends and wait says so (dies by itself: ${dieWithShim})`, async (t) => {
    const { start } = shimFixture(t);
    const shim = await start("a", "", { plan: stubPlan(["/bin/sleep", "1000"], { dieWithShim }) });
    process.kill(shim.shimPid, "SIGKILL");
    const { exitCode, shimLost } = await shim.wait();
    assert.deepEqual({ exitCode, shimLost }, { exitCode: 255, shimLost: true });
    await eventually("the container's end", () => ended(shim.initPid));
    await assert.rejects(shim.kill(15), { kind: "not-found" });
    await assert.rejects(shim.attach(never), { kind: "unavailable" });
    await shim.delete();
  });
}

test("a shim killed while no daemon ran", async (t) => {
  const { start, manager } = shimFixture(t);
  const plan = stubPlan(["/bin/sleep", "1000"], { dieWithShim: false });
  const shim = await start("a", "", { plan });
  const exited = await start("b", "exit 4");
  await exited.wait();
  for (const one of [shim, exited]) {
    one.disconnect();
    process.kill(one.shimPid, "SIGKILL");
    await eventually("the shim's end", () => ended(one.shimPid));
  }
  const lost = await manager.connect("a");
  assert.equal((await lost?.wait())?.shimLost, true);
  await eventually("the container's end", () => ended(shim.initPid));
  const known = await (await manager.connect("b"))?.wait();
  assert.deepEqual([known?.exitCode, known?.shimLost], [4, false]);
});

test("a reused pid is not killed", async (t) => {
  const { manager, directory } = shimFixture(t);
  mkdirSync(join(directory, "shims/a"));
  const record = Buffer.alloc(32);
  record.writeUInt32LE(0x44495047, 0);
  record.writeUInt32LE(1, 4);
  record.writeUInt32LE(process.pid, 8);
  record.writeUInt32LE(process.pid, 12);
  record.writeBigUInt64LE(1n, 16);
  record.writeBigUInt64LE(1n, 24);
  writeFileSync(join(directory, "shims/a/pid"), record);
  const shim = await manager.connect("a");
  assert.equal((await shim?.wait())?.shimLost, true);
  await manager.discard("a");
  assert.deepEqual(await manager.list(), []);
});

test("discard ends whatever there is", async (t) => {
  const { start, manager, directory } = shimFixture(t);
  const running = await start("a", FOREVER);
  const created = await start("b", FOREVER, { startNow: false });
  const stopped = await start("c", FOREVER);
  for (const shim of [running, created, stopped]) shim.disconnect();
  process.kill(stopped.shimPid, "SIGKILL");
  mkdirSync(join(directory, "shims/empty"));
  for (const id of ["a", "b", "c", "empty", "unknown"]) await manager.discard(id);
  assert.deepEqual(await manager.list(), []);
  for (const shim of [running, created, stopped]) {
    await eventually("the end of both", () => ended(shim.shimPid) && ended(shim.initPid));
  }
});

test("a failing plan is explained and leaves nothing", async (t) => {
  const { directory, program } = shimFixture(t);
  const manager = createShimManager({
    stateDirectory: directory,
    program,
    log: silentLogger,
    explain: (plan, failure) => new Error(`${plan.length} ${JSON.stringify(failure)}`),
  });
  const options = { ...START, id: "a", plan: stubPlan([], { fail: true }), stdin: true };
  await assert.rejects(manager.start(options, never), {
    message: '3 {"operation":7,"errno":2,"syscall":"stub","path":"/nowhere"}',
  });
  assert.deepEqual(await manager.list(), []);
  const missing = createShimManager({ stateDirectory: directory, program: "/no/such", log: silentLogger });
  await assert.rejects(missing.start(options, never), /execve .*ENOENT/);
  const group = { ...options, shimCgroup: { tasksFiles: ["/no/group/tasks"] } };
  await assert.rejects(manager.start(group, never), /open .*\/no\/group\/tasks.*ENOENT/);
  const unified = { ...options, shimCgroup: { unifiedDirectory: "/no/group", tasksFiles: [] } };
  await assert.rejects(manager.start(unified, never), /open .*\/no\/group.*ENOENT/);
  for (const id of ["", ".", "..", "a/b", "../a", "a\0b", "x".repeat(129)]) {
    await assert.rejects(manager.start({ ...options, id }, never), { kind: "invalid-argument" });
  }
  assert.deepEqual(await manager.list(), []);
});

test("an aborted start leaves nothing", async (t) => {
  const { manager, directory } = shimFixture(t);
  const ran = join(directory, "ran");
  for (let i = 0; i < 10; i++) {
    const abort = new AbortController();
    const options = { ...START, id: `a${i}`, plan: shell(`sleep 0.3; echo > ${ran}`) };
    const started = manager.start(options, abort.signal);
    abort.abort();
    await assert.rejects(started, { name: "AbortError" });
  }
  assert.deepEqual(await manager.list(), []);
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.ok(!existsSync(ran));
});

test("a plan is made while the shim waits for it; one that fails, or is wanted no more, ends the shim", async (t) => {
  const { manager, start, directory } = shimFixture(t);
  const pidRecord = join(directory, "shims/a/pid");
  const shimPid = (): number => readFileSync(pidRecord).readUInt32LE(8);
  const waiting = (): boolean => existsSync(pidRecord) && !ended(shimPid());
  let pid = 0;
  const made = await start("a", "", {
    plan: async () => {
      await eventually("the shim", waiting);
      pid = shimPid();
      return shell(FOREVER);
    },
  });
  assert.equal(made.shimPid, pid);
  await manager.discard("a");
  const failing = start("a", "", {
    plan: async () => {
      await eventually("the shim", waiting);
      pid = shimPid();
      throw new GantryError("not-found", "no such user");
    },
  });
  await assert.rejects(failing, { kind: "not-found", message: "no such user" });
  await eventually("the shim's end", () => ended(pid));
  assert.deepEqual(await manager.list(), []);
  const abort = new AbortController();
  const aborted = start(
    "a",
    "",
    {
      plan: async () => {
        await eventually("the shim", waiting);
        pid = shimPid();
        abort.abort();
        await eventually("the shim's end", () => ended(pid));
        return shell(FOREVER);
      },
    },
    abort.signal,
  );
  await assert.rejects(aborted, { name: "AbortError" });
  assert.deepEqual(await manager.list(), []);
});

test("a shim that cannot be spawned has no plan made", async (t) => {
  const { directory } = shimFixture(t);
  const manager = createShimManager({ stateDirectory: directory, program: "/nowhere", log: silentLogger });
  const options = { ...START, id: "a", plan: () => Promise.reject(new Error("made")) };
  await assert.rejects(manager.start(options, never), /ENOENT/);
  assert.deepEqual(await manager.list(), []);
});

test("a state directory with a path too long for a socket address", async (t) => {
  const { directory, program, start } = shimFixture(t);
  const deep = join(directory, "x".repeat(120));
  const manager = createShimManager({ stateDirectory: deep, program, log: silentLogger });
  await start("unused", "true");
  const options = { ...START, id: "a".repeat(64), plan: shell(FOREVER) };
  const shim = await manager.start(options, never);
  assert.equal((await runExec(shim, shell("exit 2"))).exitCode, 2);
  await manager.discard(options.id);
});

test("the shim goes by itself when its directory has vanished and its container has exited", async (t) => {
  const { start, directory } = shimFixture(t);
  const shim = await start("a", FOREVER);
  shim.disconnect();
  rmSync(join(directory, "shims/a"), { recursive: true });
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.ok(!ended(shim.shimPid) && !ended(shim.initPid));
  process.kill(shim.initPid, "SIGKILL");
  await eventually("the shim's end", () => ended(shim.shimPid));
});

test("a daemon that is connected is told of the exit although the directory has vanished", async (t) => {
  const { start, directory } = shimFixture(t);
  const shim = await start("a", "sleep 0.3; exit 5");
  rmSync(join(directory, "shims/a"), { recursive: true });
  assert.equal((await shim.wait()).exitCode, 5);
  await eventually("the shim's end", () => ended(shim.shimPid));
});

test("orphans of the container are reaped", async (t) => {
  const { start } = shimFixture(t);
  const shim = await start("a", `i=0; while [ $i -lt 20 ]; do (sleep 0.05 &); i=$((i+1)); done; ${FOREVER}`);
  const children = (): string[] =>
    readFileSync(`/proc/${shim.shimPid}/task/${shim.shimPid}/children`, "utf8").trim().split(/\s+/);
  await new Promise((resolve) => setTimeout(resolve, 300));
  await eventually("the orphans' end", () => children().length === 1);
});

test("the shim is put into its cgroups, and an out-of-memory kill is told", async (t) => {
  const v2 = existsSync("/sys/fs/cgroup/cgroup.subtree_control");
  const root = v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
  const [own, limited] = ["own", "limited"].map((name) =>
    join(root, `gantry-shim-test-${process.pid}-${name}`),
  ) as [string, string];
  for (const directory of [own, limited]) mkdirSync(directory);
  if (v2) writeFileSync(join(root, "cgroup.subtree_control"), "+memory");
  const { start, directory } = shimFixture(t);
  t.after(async () => {
    const isEmpty = (group: string): boolean => readFileSync(join(group, "cgroup.procs"), "utf8") === "";
    await eventually("the groups to be empty", () => isEmpty(own) && isEmpty(limited));
    rmdirSync(limited);
    rmdirSync(own);
  });
  writeFileSync(join(limited, v2 ? "memory.max" : "memory.limit_in_bytes"), String(16 << 20));
  const go = join(directory, "go");
  const script = `while [ ! -e ${go} ]; do sleep 0.01; done; head -c 100000000 /dev/zero | tail -c 90000000`;
  const shimCgroup = v2 ? { unifiedDirectory: own, tasksFiles: [] } : { tasksFiles: [join(own, "tasks")] };
  const groups = { shimCgroup, memoryCgroupDirectory: limited };
  const shim = await start("a", script, groups);
  assert.match(readFileSync(join(own, "cgroup.procs"), "utf8"), new RegExp(`^${shim.shimPid}$`, "m"));
  writeFileSync(join(limited, "cgroup.procs"), String(shim.initPid));
  writeFileSync(go, "");
  const exit = await shim.wait();
  assert.deepEqual([exit.exitCode, exit.oomKilled], [137, true]);
  const other = await start("b", "exit 0", groups);
  assert.equal((await other.wait()).oomKilled, false);
});
