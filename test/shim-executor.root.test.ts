/** The shim together with the executor: containers with namespaces of their own. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  closeSync,
  constants,
  copyFileSync,
  cpSync,
  globSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { silentLogger } from "../src/base/logger.ts";
import { shimProgram } from "../src/native/addon.ts";
import { consoleAddon } from "../src/native/console.ts";
import { compileExecPlan, compilePlan } from "../src/oci/plan-compile.ts";
import type { ExecPlanOptions } from "../src/oci/plan-exec.ts";
import { PLAN_FINGERPRINT } from "../src/oci/plan.ts";
import { explainPlanError } from "../src/oci/plan-explain.ts";
import { TestContainer } from "../src/oci/plan-test-container.ts";
import type { Process } from "../src/oci/runtime-spec.ts";
import { compileSeccomp } from "../src/oci/seccomp-compile.ts";
import { createShimManager } from "../src/shim/shim-manager.ts";
import { planOf } from "../src/shim/shim.ts";
import type { Shim, ShimManager, ShimStart } from "../src/shim/shim.ts";
import { collect, ended, eventually, joinLog, never, readLog, runExec } from "../src/shim/stub-shim.ts";

interface Fixture {
  manager: ShimManager;
  directory: string;
  log: string;
  start: (command: string, process?: Partial<Process>, more?: Partial<ShimStart>) => Promise<Shim>;
  startOptions: (command: string, process?: Partial<Process>) => ShimStart;
  execPlan: (command: string, process?: Partial<Process>, more?: Partial<ExecPlanOptions>) => Uint8Array;
}

function fixture(t: TestContext): Fixture {
  const directory = mkdtempSync(join(tmpdir(), "gantry-shim-test-"));
  const container = new TestContainer();
  const manager = createShimManager({
    stateDirectory: directory,
    program: shimProgram,
    log: silentLogger,
    planBuild: PLAN_FINGERPRINT,
    explain: explainPlanError,
  });
  t.after(async () => {
    for (const id of await manager.list()) await manager.discard(id);
    container.dispose();
    rmSync(directory, { recursive: true, force: true });
  });
  const log = join(directory, "log");
  const startOptions = (command: string, process: Partial<Process> = {}): ShimStart => ({
    id: "a",
    plan: compilePlan(container.spec(command, process), container.options({ gate: "wait" })),
    log: { path: log },
    terminal: process.terminal ?? false,
    stdin: false,
    stdinOnce: false,
    memoryCgroupDirectory: undefined,
    shimCgroup: { tasksFiles: [] },
    startNow: true,
  });
  return {
    manager,
    directory,
    log,
    startOptions,
    start: (command, process = {}, more = {}) =>
      manager.start({ ...startOptions(command, process), ...more }, never),
    execPlan: (command, process = {}, more = {}) =>
      compileExecPlan(container.spec(command, process).process ?? { user: { uid: 0, gid: 0 }, cwd: "/" }, {
        namespaces: ["pid", "network", "ipc", "uts", "mount"],
        cgroup: { tasksFiles: [] },
        ...more,
      }),
  };
}

test("a container runs, is executed in, and ends", async (t) => {
  const { start, execPlan, log } = fixture(t);
  const shim = await start("echo pid $$; hostname; exec sleep 1000");
  await eventually("its output", () => readLog(log).length === 2);
  assert.equal(joinLog(readLog(log), "stdout"), "pid 1\nbox\n");
  const result = await runExec(
    shim,
    execPlan("cat; hostname; ls /proc/self/fd | wc -l; echo bad >&2; exit 7"),
    "fed ",
  );
  assert.deepEqual(result, { exitCode: 7, signal: 0, stdout: "fed box\n4\n", stderr: "bad\n" });
  await shim.kill(9);
  assert.equal((await shim.wait()).exitCode, 137);
});

test("created and started apart", async (t) => {
  const { start, log } = fixture(t);
  const shim = await start("exit 4", {}, { startNow: false });
  assert.ok(!ended(shim.initPid));
  await shim.start(never);
  assert.equal((await shim.wait()).exitCode, 4);
  assert.deepEqual(readLog(log), []);
});

test("a container killed before its start", async (t) => {
  const { start } = fixture(t);
  const shim = await start("exit 4", {}, { startNow: false });
  await shim.kill(9);
  assert.equal((await shim.wait()).exitCode, 137);
  await shim.delete();
});

test("a command that does not exist is explained, at once or at the start", async (t) => {
  const { start, manager, execPlan } = fixture(t);
  await assert.rejects(start("", { args: ["/no/such"] }), /no\/such/);
  assert.deepEqual(await manager.list(), []);
  const shim = await start("", { args: ["/no/such"] }, { startNow: false });
  await assert.rejects(shim.start(never), /no\/such/);
  await manager.discard("a");
  const running = await start("exec sleep 1000");
  const options = { terminal: false, stdin: false, killOnDisconnect: true };
  const plan = execPlan("", { args: ["/no/such"] });
  await assert.rejects(running.exec({ plan, ...options }, never), /no\/such/);
});

test("terminals of the container and of an exec", async (t) => {
  const { start, execPlan, log } = fixture(t);
  const shim = await start("stty size; exec sleep 1000", {
    terminal: true,
    consoleSize: { width: 90, height: 30 },
  });
  await eventually("its output", () => readLog(log).length === 1);
  assert.equal(joinLog(readLog(log), "stdout"), "30 90\r\n");
  const plan = execPlan("read x; stty size; tty", { terminal: true });
  const exec = await shim.exec({ plan, terminal: true, stdin: true, killOnDisconnect: true }, never);
  await exec.resize(70, 20);
  exec.stdin?.write("\n");
  assert.match(await collect(exec.stdout), /^\r\n20 70\r\n\/dev\/pts\/\d\r\n$/);
  assert.equal((await exec.wait()).exitCode, 0);
});

/** The shim of another build, which understands plans with this fingerprint only. */
function otherBuild(directory: string, fingerprint: number): string {
  const native = join(import.meta.dirname, "../native");
  const include = join(directory, "include");
  cpSync(join(native, "include"), include, { recursive: true });
  const header = join(include, "plan_generated.h");
  const define = `#define PLAN_FINGERPRINT ${fingerprint}u`;
  writeFileSync(header, readFileSync(header, "utf8").replace(/#define PLAN_FINGERPRINT .*/, define));
  const program = join(directory, "old-gantry-shim");
  const sources = [...globSync(join(native, "executor/*.c")), ...globSync(join(native, "shim/*.c"))];
  execFileSync("cc", ["-std=gnu17", "-Os", "-static", `-I${include}`, "-o", program, ...sources]);
  return program;
}

function withFingerprint(plan: Uint8Array, fingerprint: number): Uint8Array {
  const copy = Buffer.from(plan);
  copy.writeUInt32LE(fingerprint, 4);
  return copy;
}

test("a shim of another build is executed in all the same", async (t) => {
  const { manager, start, execPlan, startOptions, directory } = fixture(t);
  const program = otherBuild(directory, 4711);
  const old = createShimManager({ stateDirectory: directory, program, log: silentLogger });
  const options = startOptions("hostname; sleep 1000");
  const plan = withFingerprint(await planOf(options), 4711);
  await assert.rejects(start("", {}, { plan }), /EPROTO/);
  await old.start({ ...options, plan }, never);
  const shim = await manager.connect("a");
  assert.ok(shim);
  const result = await runExec(shim, execPlan("cat; hostname; ls /proc/self/fd | wc -l; exit 7"), "fed ");
  assert.deepEqual(result, { exitCode: 7, signal: 0, stdout: "fed box\n4\n", stderr: "" });
  assert.equal((await runExec(shim, execPlan("kill -9 $$"))).exitCode, 137);
  const flags = { stdin: true, killOnDisconnect: true };
  const terminal = execPlan("read x; stty size", { terminal: true });
  const exec = await shim.exec({ plan: terminal, terminal: true, ...flags }, never);
  await exec.resize(70, 20);
  exec.stdin?.write("\n");
  assert.match(await collect(exec.stdout), /20 70/);
  const missing = execPlan("", { args: ["/no/such"] });
  await assert.rejects(shim.exec({ plan: missing, terminal: false, ...flags }, never), /no\/such/);
  const children = `/proc/${shim.shimPid}/task/${shim.shimPid}/children`;
  await eventually("no process left", () => readFileSync(children, "utf8").trim() === String(shim.initPid));
  await shim.kill(9);
  assert.equal((await shim.wait()).exitCode, 137);
});

test("nobody can write to the program by way of its processes, also once they have ended", async (t) => {
  const { directory, startOptions } = fixture(t);
  const program = join(directory, "gantry-shim");
  copyFileSync(shimProgram, program);
  const manager = createShimManager({ stateDirectory: directory, program, log: silentLogger });
  const shim = await manager.start({ ...startOptions("sleep 1000"), startNow: false }, never);
  assert.equal(readFileSync(`/proc/${shim.shimPid}/comm`, "utf8"), "gantry-shim\n");
  const held = [shim.initPid, shim.shimPid].map((pid) => openSync(`/proc/${pid}/exe`, constants.O_RDONLY));
  t.after(() => held.forEach((fd) => closeSync(fd)));
  await manager.discard("a");
  await eventually("the end of both", () => ended(shim.initPid) && ended(shim.shimPid));
  for (const fd of held)
    assert.throws(() => openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY), { code: "EROFS" });
});

test("a killed shim takes its container with it", async (t) => {
  const { start } = fixture(t);
  const shim = await start("", { args: ["sleep", "1000"] });
  for (const name of ["SigBlk", "SigIgn"]) {
    const text = readFileSync(`/proc/${shim.initPid}/status`, "utf8");
    assert.match(text, new RegExp(`^${name}:\\s+0+$`, "m"));
  }
  process.kill(shim.shimPid, "SIGKILL");
  assert.equal((await shim.wait()).shimLost, true);
  await eventually("the container's end", () => ended(shim.initPid));
});

/** A seccomp agent that takes no connection: those that fit have been made. */
async function hungAgent(path: string): Promise<{ end: () => void }> {
  const listener = consoleAddon.consoleListen(path);
  const sockets: Socket[] = [];
  for (let full = false; !full;) {
    const socket = connect(path);
    sockets.push(socket);
    full = await new Promise((resolve) => {
      socket.on("connect", () => resolve(false)).on("error", () => resolve(true));
    });
  }
  return {
    end: () => {
      for (const socket of sockets) socket.destroy();
      closeSync(listener);
    },
  };
}

test("an exec whose seccomp agent hangs holds up neither the container's output nor its end", async (t) => {
  const { start, directory, log, execPlan } = fixture(t);
  const path = join(directory, "agent");
  const agent = await hungAgent(path);
  t.after(() => agent.end());
  const shim = await start("while echo tick; do sleep 0.02; done");
  const { program, flags } = compileSeccomp({
    defaultAction: "SCMP_ACT_ALLOW",
    listenerPath: path,
    syscalls: [{ names: ["mkdir"], action: "SCMP_ACT_NOTIFY" }],
  });
  const seccomp = { program, flags, listener: { path, state: ["{", "}"] } };
  const options = { terminal: false, stdin: false, killOnDisconnect: true };
  let told = false;
  const exec = shim.exec({ plan: execPlan("true", {}, { seccomp }), ...options }, never);
  const failed = assert.rejects(exec, /process died/).finally(() => (told = true));
  const children = (): string => readFileSync(`/proc/${shim.shimPid}/task/${shim.shimPid}/children`, "utf8");
  await eventually("its launcher", () => children().trim().split(" ").length > 1);
  const before = readLog(log).length;
  await eventually("more output", () => readLog(log).length > before + 2);
  assert.equal(told, false);
  await shim.kill(9);
  assert.equal((await shim.wait()).exitCode, 137);
  await failed;
});
