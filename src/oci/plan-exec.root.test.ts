/** Further processes in a running container, terminals, start gates and the built-in pause, for real. Needs root. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { openSync, closeSync, readFileSync, readlinkSync, writeSync, constants } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { patient } from "../../test/harness/patience.ts";
import { createCgroupManager } from "./cgroup-manager.ts";
import { compileExecPlan, compilePlan, type ExecPlanOptions } from "./plan-compile.ts";
import { launchPlan, TEST_CAPABILITIES, TestContainer, type Launched } from "./plan-test-container.ts";
import type { NamespaceType, Process } from "./runtime-spec.ts";

const NAMESPACES: NamespaceType[] = ["pid", "network", "ipc", "uts", "mount"];

function isGone(pid: number): boolean {
  try {
    return / Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return true;
  }
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let tries = 0; !condition(); tries++) {
    assert.ok(tries < patient(200), what);
    await sleep(25);
  }
}

describe("a running container", () => {
  const container = new TestContainer();
  let init = 0;

  const process_ = (command: string, more: Partial<Process> = {}): Process => ({
    user: { uid: 0, gid: 0 },
    cwd: "/",
    args: ["sh", "-c", command],
    env: ["PATH=/bin"],
    capabilities: { bounding: TEST_CAPABILITIES, effective: TEST_CAPABILITIES, permitted: TEST_CAPABILITIES },
    ...more,
  });
  const exec = (
    command: string,
    more: Partial<Process> = {},
    options: Partial<ExecPlanOptions> = {},
  ): Promise<Launched> =>
    launchPlan(
      compileExecPlan(process_(command, more), {
        namespaces: NAMESPACES,
        cgroup: { tasksFiles: [] },
        ...options,
      }),
      ["--wait", "--join-pid", `${init}`],
    );

  before(async () => {
    const plan = compilePlan(
      container.spec("trap 'exit 0' TERM; while :; do sleep 1; done"),
      container.options(),
    );
    const started = await launchPlan(plan, []);
    assert.equal(started.message, undefined);
    init = started.pid ?? 0;
  });
  after(() => {
    process.kill(init, "SIGKILL");
    container.dispose();
  });

  test("executes a process in all its namespaces", async () => {
    const { stdout, status } = await exec(
      "for t in pid net ipc uts mnt; do readlink /proc/self/ns/$t; done; hostname; exit 3",
    );
    const types = ["pid", "net", "ipc", "uts", "mnt"];
    const expected = types.map((type) => readlinkSync(`/proc/${init}/ns/${type}`));
    assert.deepEqual(stdout.trim().split("\n"), [...expected, "box"]);
    assert.equal(status, 3);
  });

  test("gives it its own user, capabilities, limits and directory", async () => {
    const { stdout } = await exec(
      "id -u; id -g; pwd; ulimit -n; grep CapEff /proc/self/status; ls /proc/self/fd | wc -l",
      {
        user: { uid: 12, gid: 13 },
        cwd: "/tmp",
        capabilities: {},
        rlimits: [{ type: "RLIMIT_NOFILE", soft: 50, hard: 50 }],
      },
    );
    assert.equal(stdout, "12\n13\n/tmp\n50\nCapEff:\t0000000000000000\n4\n");
  });

  test("puts it into the cgroup before it is in the container", async () => {
    const manager = createCgroupManager();
    const path = `/gantry-exec-${process.pid}`;
    const cgroup = await manager.create(path, {});
    try {
      const { stdout } = await exec("cat /proc/self/cgroup", {}, { cgroup: cgroup.entries() });
      assert.match(stdout, new RegExp(`${manager.version === "v2" ? "^0:" : ":pids"}:${path}$`, "m"));
    } finally {
      await cgroup.remove(AbortSignal.timeout(patient(10_000)));
    }
  });

  test("says what cannot be executed", async () => {
    const missing = await exec("", { args: ["nosuch"] });
    assert.equal(missing.message, 'exec: "nosuch": executable file not found in $PATH');
    const path = await exec("", { args: ["/bin/nosuch"] });
    assert.equal(path.message, 'exec: "/bin/nosuch": stat /bin/nosuch: no such file or directory');
    const directory = await exec("", { args: ["/etc"] });
    assert.equal(directory.message, 'exec: "/etc": permission denied');
    assert.equal((await exec("", { cwd: "/nosuch" })).message, "working directory /nosuch: chdir: ENOENT");
  });

  test("fails for a container that is gone", async () => {
    const plan = compileExecPlan(process_("true"), { namespaces: NAMESPACES, cgroup: { tasksFiles: [] } });
    const result = await launchPlan(plan, ["--wait", "--join-pid", "2147483646"]);
    assert.equal(result.status, 1);
    assert.ok(result.error);
  });

  test("gives a terminal of the container's own devpts", async () => {
    const socket = join(container.directory, "console");
    /* Takes the master from the socket, and prints what the terminal shows. */
    const receiver = `
import array, os, socket, sys
listener = socket.socket(socket.AF_UNIX); listener.bind(sys.argv[1]); listener.listen(); print("ready", flush=True)
peer, _ = listener.accept()
_, control, _, _ = peer.recvmsg(1, socket.CMSG_SPACE(4))
master = array.array("i", control[0][2])[0]
try:
    while chunk := os.read(master, 1000): os.write(1, chunk)
except OSError: pass`;
    const { spawn } = await import("node:child_process");
    const python = spawn("python3", ["-c", receiver, socket], { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    python.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    await until(() => output.includes("ready"), "the receiver listens");
    const terminal = { terminal: true, consoleSize: { height: 33, width: 77 } };
    const plan = compileExecPlan(process_("tty; stty size; echo done > /dev/tty", terminal), {
      namespaces: NAMESPACES,
      cgroup: { tasksFiles: [] },
    });
    const args = ["--wait", "--join-pid", `${init}`];
    const { message } = await launchPlan(plan, [...args, "--console-socket", socket]);
    assert.equal(message, undefined);
    await until(() => output.includes("done"), "the terminal shows the output");
    assert.match(output, /\/dev\/pts\/0\r\n33 77\r\ndone/);
    const refused = await launchPlan(plan, args);
    assert.match(refused.message ?? "", /console socket/);
    assert.equal(refused.error?.errno, 22);
  });
});

describe("a start gate and a pause", () => {
  test("a fifo holds the command until a byte arrives", async () => {
    const container = new TestContainer();
    try {
      const fifo = join(container.directory, "gate");
      execFileSync("mkfifo", [fifo]);
      const { pid = 0, message } = await container.run(
        container.spec("exec sleep 1000"),
        { gate: { fifo } },
        [],
      );
      assert.equal(message, undefined);
      assert.match(readFileSync(`/proc/${pid}/cmdline`, "utf8"), /launch/);
      const file = openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
      writeSync(file, "x");
      closeSync(file);
      await until(() => readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith("sleep"), "the command runs");
      process.kill(pid, "SIGKILL");
      await until(() => isGone(pid), "the process ends");
      assert.throws(() => openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK), { code: "ENXIO" });
      const missing = await container.run(container.spec(["nosuch"]), { gate: { fifo } }, []);
      assert.equal(missing.message, 'exec: "nosuch": executable file not found in $PATH');
    } finally {
      container.dispose();
    }
  });

  test("the pause process holds a PID namespace for others and reaps what it inherits", async () => {
    const container = new TestContainer();
    let pid = 0;
    try {
      const pause = await container.run(container.spec([]), { command: "pause" }, []);
      assert.equal(pause.message, undefined);
      pid = pause.pid ?? 0;
      assert.equal(readFileSync(`/proc/${pid}/comm`, "utf8"), "pause\n");
      const spec = container.spec(
        "cat /proc/1/comm; readlink /proc/self/ns/pid; (sleep 0.05 &) ; sleep 0.3; grep -l '^State:.Z' /proc/[0-9]*/status | wc -l",
      );
      spec.linux = {
        ...spec.linux,
        namespaces: [{ type: "pid", path: `/proc/${pid}/ns/pid` }, { type: "mount" }],
      };
      const other = { rootfs: { type: "bind", source: container.rootfs, readonly: true } } as const;
      const joined = await container.run(spec, other);
      assert.equal(joined.message, undefined);
      assert.deepEqual(joined.stdout.split("\n"), ["pause", readlinkSync(`/proc/${pid}/ns/pid`), "0", ""]);
      process.kill(pid, "SIGTERM");
      await until(() => isGone(pid), "the pause process ends on SIGTERM");
    } finally {
      if (!isGone(pid)) process.kill(pid, "SIGKILL");
      container.dispose();
    }
  });
});
