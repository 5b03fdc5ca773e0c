/** Plans that run programs in place of a runtime: what succeeds, and that nothing is left of what does not. */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { patient } from "../../test/harness/patience.ts";
import { processAddon } from "../native/process.ts";
import { externalExecPlan } from "./external/external-plan.ts";
import { ExternalRuntime } from "./external/external-runtime.ts";
import { type Launched, launchPlan } from "./plan-test-container.ts";

interface Runtime {
  directory: string;
  launch(args?: string[], terminal?: boolean): Promise<Launched>;
}

/** A script stands for the program; its only command is "make", and `$PID` the file for the pid. */
function runtimeOf(t: TestContext, script: string, timeoutMs = patient(20_000)): Runtime {
  const directory = mkdtempSync(join(tmpdir(), "gantry-external-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const binary = join(directory, "runtime");
  const pidFile = join(directory, "pid");
  writeFileSync(binary, `#!/bin/sh\nPID=${pidFile}\n${script}\n`);
  chmodSync(binary, 0o755);
  const runtime = new ExternalRuntime({
    name: "test",
    binary,
    arguments: [],
    environment: [],
    root: directory,
    systemdCgroup: false,
    timeoutMs,
    update: false,
    kill: false,
  });
  const launch = async (args: string[] = [], terminal = false): Promise<Launched> => {
    const commands = [{ args: ["make"], ...(terminal && { console: "console" }) }];
    const log = join(directory, "log");
    return await launchPlan(externalExecPlan(runtime, { commands, directory, log, pidFile, terminal }), args);
  };
  return { directory, launch };
}

/** Waits until there is no such process. */
async function gone(pid: number): Promise<void> {
  for (let attempt = 0; attempt < patient(1000); attempt++) {
    if (processAddon.processStartTime(pid) === 0 || isZombie(pid)) return;
    await sleep(10);
  }
  throw new Error(`process ${pid} has not ended`);
}

function isZombie(pid: number): boolean {
  try {
    return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return true;
  }
}

const pidIn = (directory: string, name: string): number =>
  Number(readFileSync(join(directory, name), "utf8").trim());

test("the process whose pid is in the file goes on", async (t) => {
  const { launch, directory } = runtimeOf(t, "sleep 1000 & echo $! >$PID");
  const { pid, message } = await launch();
  assert.equal(message, undefined);
  assert.equal(pid, pidIn(directory, "pid"));
  // The shell's child writes its number, and becomes the program later.
  while (!readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith("sleep")) await sleep(5);
  assert.deepEqual(readdirSync(`/proc/${pid}/fd`).toSorted(), ["0", "1", "2"], "nothing of the launcher's");
  process.kill(pid ?? 0, "SIGKILL");
  await gone(pid ?? 0);
});

test("one that has made it by way of others, and one without a line feed, too", async (t) => {
  const { launch, directory } = runtimeOf(t, "(sleep 1000 & printf $! >$PID) & wait");
  const { pid } = await launch();
  assert.equal(pid, pidIn(directory, "pid"));
  process.kill(pid ?? 0, "SIGKILL");
});

test("a pid that is no child's, or no pid, is not believed, and what was made is ended", async (t) => {
  const others = [
    `${process.pid}`,
    "1",
    "0",
    "-1",
    "",
    "x",
    "12x",
    "1 2",
    "99999999999",
    "4194304999",
    "\n1",
  ];
  for (const text of others) {
    const { launch, directory } = runtimeOf(t, `sleep 1000 & echo $! >child; printf '%s' '${text}' >$PID`);
    const { pid, message } = await launch();
    assert.equal(pid, undefined, text);
    assert.match(
      message ?? "",
      /process of the external runtime: runtime (pid|process) .*(EINVAL|ESRCH)/,
      text,
    );
    await gone(pidIn(directory, "child"));
  }
  const link = runtimeOf(t, "ln -s other $PID; sleep 1000 & echo $! >other");
  assert.match((await link.launch()).message ?? "", /runtime pid .*EINVAL/);
  await gone(pidIn(link.directory, "other"));
  const fifo = runtimeOf(t, "mkfifo $PID");
  assert.match((await fifo.launch()).message ?? "", /runtime pid .*EINVAL/);
});

test("a command that fails is told, with all that it has left ended", async (t) => {
  const script = "sleep 1000 & echo $! >child; (setsid sleep 1000 & echo $! >grandchild); exit 3";
  const { launch, directory } = runtimeOf(t, script);
  assert.equal((await launch(["--wait"])).message, "runtime make: exit status 3");
  await gone(pidIn(directory, "child"));
  await gone(pidIn(directory, "grandchild"));
  const killed = runtimeOf(t, "kill -9 $$");
  assert.equal((await killed.launch()).message, "runtime make: killed by signal 9");
});

test("a command that takes too long is ended with all that it has made", async (t) => {
  const { launch, directory } = runtimeOf(t, "setsid sleep 1000 & echo $! >child; sleep 1000", 1500);
  assert.equal((await launch()).message, "runtime make: not finished after 1.5 s");
  await gone(pidIn(directory, "child"));
});

test("a program that is none", async (t) => {
  const { launch, directory } = runtimeOf(t, "");
  rmSync(join(directory, "runtime"));
  assert.equal((await launch()).message, `runtime make: ${directory}/runtime: ENOENT`);
});

const SEND = `
import array, os, socket, subprocess, sys
what = sys.argv[1]
master, slave = os.openpty()
channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
channel.connect("console")
fd = {"master": master, "slave": slave, "file": os.open("/dev/null", os.O_RDWR)}.get(what)
rights = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd] * 3 if what == "many" else [fd]))]
channel.sendmsg([b"/dev/pts/ptmx" * 500], rights)
child = subprocess.Popen(["sleep", "1000"])
open("pid", "w").write(str(child.pid))
`;

test("a terminal's master is handed on, and nothing else is", async (t) => {
  const sent = async (what: string): Promise<Launched & { directory: string }> => {
    const { launch, directory } = runtimeOf(t, `exec python3 send.py ${what}`);
    writeFileSync(join(directory, "send.py"), SEND);
    const path = join(directory, "engine");
    const engine = createServer((socket) => socket.resume());
    await new Promise<void>((resolve) => engine.listen(path, resolve));
    const launched = await launch(["--console-socket", path], true);
    await new Promise((resolve) => engine.close(resolve));
    return { ...launched, directory };
  };
  const { pid, message } = await sent("master");
  assert.equal(message, undefined);
  process.kill(pid ?? 0, "SIGKILL");
  for (const what of ["slave", "file", "nothing"]) {
    const failed = await sent(what);
    assert.equal(failed.message, "runtime make: it has handed over no terminal", what);
    await gone(pidIn(failed.directory, "pid"));
  }
  const silent = runtimeOf(t, "exit 0");
  assert.match((await silent.launch([], true)).message ?? "", /no terminal/);
});
