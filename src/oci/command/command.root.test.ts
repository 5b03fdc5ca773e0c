/** gantry-oci as a program, on real bundles. Needs root, and a static busybox for the root filesystem. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { EXECUTOR_PROGRAM } from "../../../test/harness/executor-program.ts";
import { patient } from "../../../test/harness/patience.ts";
import { shortDirectory } from "../../../test/harness/short-directory.ts";
import { createCgroupManager } from "../cgroup-manager.ts";
import { cpuWeightFromShares } from "../cgroup-v2-resources.ts";
import type { Spec } from "../runtime-spec.ts";
import type { ContainerState } from "./container-state.ts";
import { exampleSpec } from "./spec.ts";

// Not below /tmp: the path of a console socket is short.
const base = shortDirectory("gantry-oci-test");
// Each call is a process of its own, which would compile the sources again.
process.env["NODE_COMPILE_CACHE"] = join(base, "compiled");
const root = join(base, "root");
const bundle = join(base, "bundle");
const rootfs = join(bundle, "rootfs");
const cgroupParent = `/gantry-oci-test-${process.pid}`;
const manager = createCgroupManager();
const v2 = manager.version === "v2";
/** How the memory controller's group is told in /proc/PID/cgroup. */
const MEMORY_GROUP = v2 ? /^0::(.*)/m : /:memory:(.*)/;
mkdirSync(join(rootfs, "bin"), { recursive: true });
copyFileSync("/usr/bin/busybox", join(rootfs, "bin/busybox"));
for (const name of "sh sleep id cat grep tty stty kill true env ls pwd".split(" "))
  symlinkSync("busybox", join(rootfs, "bin", name));

after(async () => {
  for (const id of existsSync(root) ? readdirSync(root) : []) oci(["delete", "--force", id]);
  await manager.load(cgroupParent).remove(AbortSignal.timeout(patient(10_000)));
  rmSync(base, { recursive: true });
});

function oci(args: string[], input = "") {
  const result = spawnSync(process.execPath, [EXECUTOR_PROGRAM, "--root", root, ...args], {
    encoding: "utf8",
    input,
    cwd: base,
  });
  return { code: result.status, out: result.stdout, err: result.stderr };
}

/** For commands whose container keeps the descriptors open. */
function ociDetached(args: string[]) {
  const result = spawnSync(
    process.execPath,
    [EXECUTOR_PROGRAM, "--root", root, "--log", join(base, "log"), ...args],
    {
      stdio: "ignore",
    },
  );
  return { code: result.status };
}

let counter = 0;
function configure(args: string[], change: (spec: Spec) => void = () => undefined): void {
  const spec = structuredClone(exampleSpec());
  if (spec.process) Object.assign(spec.process, { terminal: false, args, noNewPrivileges: false });
  if (spec.linux) spec.linux.cgroupsPath = `${cgroupParent}/c${counter++}`;
  change(spec);
  writeFileSync(join(bundle, "config.json"), JSON.stringify(spec));
}

const state = (id: string): ContainerState => JSON.parse(oci(["state", id]).out) as ContainerState;

async function becomes(id: string, status: string): Promise<void> {
  for (let turn = 0; turn < patient(200) && state(id).status !== status; turn++) await sleep(20);
  assert.equal(state(id).status, status);
}

test("create, start, kill, delete: each in its time and in no other", async () => {
  configure(["sleep", "300"]);
  assert.equal(ociDetached(["create", "-b", bundle, "--pid-file", join(base, "pid"), "life"]).code, 0);
  assert.equal(state("life").status, "created");
  assert.equal(readFileSync(join(base, "pid"), "utf8"), String(state("life").pid));
  const groups = readFileSync(`/proc/${state("life").pid}/cgroup`, "latin1");
  assert.ok(MEMORY_GROUP.exec(groups)?.[1]?.startsWith(`${cgroupParent}/`), groups);

  assert.match(oci(["create", "-b", bundle, "life"]).err, /already exists/);
  assert.equal(oci(["exec", "life", "id"]).code, 0);
  assert.match(oci(["delete", "life"]).err, /not stopped: created/);
  assert.equal(oci(["start", "life"]).code, 0);
  assert.match(oci(["start", "life"]).err, /already running/);
  assert.match(oci(["delete", "life"]).err, /not stopped: running/);
  assert.deepEqual(oci(["list", "-q"]).out, "life\n");
  assert.equal((JSON.parse(oci(["list", "--format", "json"]).out) as ContainerState[])[0]?.bundle, bundle);

  assert.match(oci(["kill", "life", "NOSUCH"]).err, /unknown signal/);
  assert.equal(oci(["kill", "life", "KILL"]).code, 0);
  await becomes("life", "stopped");
  assert.match(oci(["kill", "life"]).err, /container not running/);
  assert.match(oci(["start", "life"]).err, /has stopped/);
  assert.equal(oci(["delete", "life"]).code, 0);
  assert.match(oci(["state", "life"]).err, /does not exist/);
  assert.equal(oci(["delete", "life"]).code, 1);
  assert.equal(oci(["delete", "--force", "life"]).code, 0);
  assert.deepEqual(readdirSync(root), []);
});

test("run in the foreground: output, input, exit status, nothing left", () => {
  configure(["sh", "-c", "cat; echo problem >&2; exit 7"]);
  assert.deepEqual(oci(["run", "-b", bundle, "fg"], "from outside\n"), {
    code: 7,
    out: "from outside\n",
    err: "problem\n",
  });
  configure(["sh", "-c", "grep -E 'Cap(Inh|Amb)' /proc/self/status; ls /proc/self/fd"]);
  assert.match(oci(["run", "-b", bundle, "fg"]).out, /CapInh:\t0+\nCapAmb:\t0+\n0\n1\n2\n3\n$/);
  assert.deepEqual(readdirSync(root), []);
});

test("run passes signals on", async () => {
  configure(["sh", "-c", "trap 'exit 9' TERM; echo ready; while true; do sleep 0.05; done"]);
  const child = spawn(process.execPath, [EXECUTOR_PROGRAM, "--root", root, "run", "-b", bundle, "signals"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  child.kill("SIGTERM");
  assert.deepEqual(await once(child, "exit"), [9, null]);
});

test("exec: user, environment, directory, capabilities, exit status", () => {
  configure(["sleep", "300"]);
  assert.equal(ociDetached(["run", "-d", "-b", bundle, "exec"]).code, 0);
  const exec = (...args: string[]) => oci(["exec", ...args]);
  assert.equal(exec("-u", "1000:5", "exec", "id").out, "uid=1000 gid=5\n");
  assert.equal(exec("-e", "A=b c", "--cwd", "/bin", "exec", "sh", "-c", 'echo "$A"; pwd; exit 4').code, 4);
  assert.equal(exec("-e", "A=b c", "--cwd", "/bin", "exec", "sh", "-c", 'echo "$A"; pwd').out, "b c\n/bin\n");
  assert.match(exec("--cap", "NET_RAW", "exec", "grep", "CapInh", "/proc/self/status").out, /\t0+$/m);
  assert.match(exec("--no-new-privs", "exec", "grep", "NoNewPrivs", "/proc/self/status").out, /\t1$/m);
  for (const user of ["root", "4294967296", "1000:", ":5", "+1", "1000:5:6", ""]) {
    const result = exec("-u", user, "exec", "id");
    assert.equal(result.code, 255, user);
    assert.equal(result.out, "", user);
  }
  for (const cwd of ["/proc/self/fd/3", "/proc/self/fd/7", "nowhere"])
    assert.notEqual(exec("--cwd", cwd, "exec", "pwd").code, 0, cwd);
  writeFileSync(
    join(base, "process.json"),
    JSON.stringify({ user: { uid: 7, gid: 8 }, cwd: "/", args: ["/bin/id"] }),
  );
  assert.equal(exec("-p", join(base, "process.json"), "exec").out, "uid=7 gid=8\n");
  assert.match(exec("exec", "no-such-program").err, /no-such-program/);
  assert.equal(exec("-d", "--pid-file", join(base, "exec-pid"), "exec", "true").code, 0);
  assert.match(readFileSync(join(base, "exec-pid"), "utf8"), /^\d+$/);
  assert.equal(oci(["delete", "-f", "exec"]).code, 0);
});

test("what a full pipe has not taken yet is printed before the end", () => {
  const full = `{ head -c 65536 /dev/zero; "$@"; } | { sleep 1; tr -d '\\0'; }`;
  const shell = (...args: string[]) =>
    spawnSync("sh", ["-c", full, "sh", process.execPath, EXECUTOR_PROGRAM, ...args]);
  assert.match(shell("--help").stdout.toString(), /^gantry-oci: runs containers[^]*tells more\.\n$/);
  configure(["sh", "-c", "cat /proc/kallsyms | head -c 9000; echo; echo end"], (spec) =>
    Object.assign(spec.process ?? {}, { terminal: true }),
  );
  const { stdout } = shell("--root", root, "run", "-b", bundle, "full");
  assert.equal(stdout.toString().slice(-5), "end\r\n");
});

test("a terminal in the foreground, for run and exec", () => {
  configure(["sh", "-c", "tty; read line; echo got $line; exit 5"], (spec) =>
    Object.assign(spec.process ?? {}, { terminal: true }),
  );
  const run = oci(["run", "-b", bundle, "terminal"], "typed\n");
  assert.equal(run.code, 5);
  assert.match(run.out, /\/dev\/pts\/0\r\n/);
  assert.match(run.out, /got typed\r\n/);
  configure(["sleep", "300"]);
  assert.equal(ociDetached(["run", "-d", "-b", bundle, "terminal"]).code, 0);
  const exec = oci(["exec", "-t", "terminal", "sh", "-c", "tty; exit 6"]);
  assert.deepEqual([exec.code, exec.out], [6, "/dev/pts/0\r\n"]);
  assert.match(oci(["exec", "-d", "-t", "terminal", "true"]).err, /--console-socket/);
  assert.equal(oci(["delete", "-f", "terminal"]).code, 0);
  assert.deepEqual(readdirSync(root), []);
});

test("hooks run in their order with the state on standard input, poststop after the end", () => {
  const record = join(base, "hooks");
  rmSync(record, { force: true });
  const hook = (name: string) => ({
    path: "/bin/sh",
    args: ["sh", "-c", `printf '%s ' ${name} >> ${record}; grep -o '"status": *"[a-z]*"' >> ${record}`],
    env: ["PATH=/bin:/usr/bin"],
  });
  configure(["true"], (spec) => {
    spec.hooks = {
      prestart: [hook("prestart")],
      createRuntime: [hook("createRuntime")],
      poststart: [hook("poststart")],
      poststop: [{ path: "/bin/false" }, hook("poststop")],
    };
  });
  assert.equal(oci(["run", "-b", bundle, "hooks"]).code, 0);
  const lines = readFileSync(record, "utf8").replaceAll('"', "").replaceAll(" ", "").trim().split("\n");
  assert.deepEqual(
    lines.map((line) => line.split("status:")[0]),
    ["prestart", "createRuntime", "poststart", "poststop"],
  );
  assert.equal(lines.at(-1), "poststopstatus:stopped");
});

test("a failing hook or command leaves nothing", () => {
  for (const kind of ["createRuntime", "createContainer", "startContainer", "poststart"] as const) {
    const failing = { path: "/bin/sh", args: ["sh", "-c", "echo because >&2; exit 3"] };
    configure(["true"], (spec) => (spec.hooks = { [kind]: [failing] }));
    const { code, err } = oci(["run", "-b", bundle, "failing"]);
    assert.equal(code, 1);
    assert.match(err, /hook \/bin\/sh: exit status 3: because"?\n$/);
  }
  configure(["no-such-program"]);
  const log = join(base, "json.log");
  const result = oci(["--log", log, "--log-format", "json", "run", "-b", bundle, "failing"]);
  assert.equal(result.code, 1);
  assert.match(result.err, /no-such-program/);
  assert.equal((JSON.parse(readFileSync(log, "utf8")) as { level: string }).level, "error");
  assert.deepEqual(readdirSync(root), []);
  assert.deepEqual(globSync(`/sys/fs/cgroup/{,*/}${cgroupParent.slice(1)}/*/`), []);
});

test("a container without a process can be created, and ends when it is started", async () => {
  configure([], (spec) => delete spec.process);
  assert.equal(ociDetached(["create", "-b", bundle, "empty"]).code, 0);
  assert.match(oci(["delete", "empty"]).err, /not stopped: created/);
  const started = oci(["start", "empty"]);
  assert.equal(started.code, 0);
  assert.match(started.err, /level=warning msg=".*no process to start/);
  await becomes("empty", "stopped");
  assert.equal(oci(["delete", "empty"]).code, 0);
  assert.equal(oci(["run", "-b", bundle, "empty"]).code, 0);
});

test("what a create that was killed has left is ended by a forced delete", async () => {
  const [seen, go] = [join(base, "hook-state"), join(base, "hook-go")];
  const script = `cat > ${seen}.new; mv ${seen}.new ${seen}; while [ -e ${seen} -a ! -e ${go} ]; do sleep 0.02; done`;
  configure(["sleep", "300"], (spec) => {
    spec.hooks = {
      createRuntime: [{ path: "/bin/sh", args: ["sh", "-c", script], env: ["PATH=/bin:/usr/bin"] }],
    };
  });
  const create = spawn(
    process.execPath,
    [EXECUTOR_PROGRAM, "--root", root, "create", "-b", bundle, "killed"],
    {
      stdio: "ignore",
    },
  );
  const ended = once(create, "exit");
  while (!existsSync(seen) && create.exitCode === null) await sleep(5);
  const { pid } = JSON.parse(readFileSync(seen, "utf8")) as { pid: number };
  create.kill("SIGKILL");
  await ended;
  writeFileSync(go, "");
  assert.ok(existsSync(`/proc/${pid}`));
  const group = manager.load(`${cgroupParent}/c${counter - 1}`);
  assert.ok(group.exists());
  assert.equal(oci(["delete", "--force", "killed"]).code, 0);
  assert.ok(!group.exists());
  for (let turn = 0; turn < 500 && existsSync(`/proc/${pid}`); turn++) await sleep(20);
  assert.ok(!existsSync(`/proc/${pid}`));
  assert.deepEqual(readdirSync(root), []);
});

test("wrong configurations and options are refused by name", () => {
  configure(["true"], (spec) => Object.assign(spec.process?.user ?? {}, { uid: "root" }));
  assert.match(oci(["run", "-b", bundle, "wrong"]).err, /config\.json: process\.user\.uid:/);
  configure(["true"], (spec) =>
    Object.assign(spec.process?.capabilities ?? {}, { bounding: ["CAP_NOTHING"] }),
  );
  assert.match(oci(["run", "-b", bundle, "wrong"]).err, /bounding\.0: unknown capability/);
  configure(["true"], (spec) => Object.assign(spec, { root: { path: "nowhere" } }));
  assert.match(oci(["run", "-b", bundle, "wrong"]).err, /root\.path/);
  configure(["true"]);
  configure(["true"], (spec) => Object.assign(spec.linux ?? {}, { cgroupsPath: "/no/slice" }));
  assert.match(
    oci(["--systemd-cgroup", "run", "-b", bundle, "wrong"]).err,
    /expected \\"slice:prefix:name\\"/,
  );
  configure(["true"]);
  assert.match(oci(["run", "-b", bundle, "../wrong"]).err, /invalid container id/);
  assert.match(
    oci(["run", "-b", join(base, "none"), "wrong"]).err,
    /config\.json: no such file or directory/,
  );
  assert.ok(!existsSync(join(base, "wrong")));
  assert.deepEqual(readdirSync(root), []);
});

test("spec writes a configuration once", () => {
  const directory = mkdtempSync(join(base, "spec-"));
  assert.equal(oci(["spec", "-b", directory]).code, 0);
  assert.deepEqual(JSON.parse(readFileSync(join(directory, "config.json"), "utf8")), exampleSpec());
  assert.match(oci(["spec", "-b", directory]).err, /exists/);
});

test("pause and resume: nothing runs meanwhile, and a paused one can be deleted", async () => {
  configure(["sh", "-c", "while true; do echo x >> /tick; sleep 0.02; done"], (spec) => {
    if (spec.root) spec.root.readonly = false;
  });
  assert.equal(ociDetached(["run", "-d", "-b", bundle, "pause"]).code, 0);
  const ticks = (): number => {
    const file = join(rootfs, "tick");
    return existsSync(file) ? readFileSync(file).length : 0;
  };
  while (ticks() === 0) await sleep(10);
  assert.match(oci(["resume", "pause"]).err, /container not paused/);
  assert.equal(oci(["pause", "pause"]).code, 0);
  assert.equal(state("pause").status, "paused");
  const before = ticks();
  await sleep(200);
  assert.equal(ticks(), before);
  assert.match(oci(["pause", "pause"]).err, /container not running/);
  assert.match(oci(["exec", "pause", "true"]).err, /cannot exec in a paused container/);
  assert.equal(oci(["resume", "pause"]).code, 0);
  while (ticks() === before) await sleep(10);
  assert.equal(oci(["pause", "pause"]).code, 0);
  assert.equal(oci(["delete", "--force", "pause"]).code, 0);
  assert.deepEqual(readdirSync(root), []);
});

test("update: all of the limits or none, in the kernel and in the stored configuration", () => {
  configure(["sleep", "300"]);
  assert.equal(ociDetached(["run", "-d", "-b", bundle, "update"]).code, 0);
  const limits = () => {
    const groups = readFileSync(`/proc/${state("update").pid}/cgroup`, "latin1");
    const path = MEMORY_GROUP.exec(groups)?.[1] ?? "";
    const read = (file: string): string =>
      readFileSync(join("/sys/fs/cgroup", v2 ? "" : (file.split(".")[0] ?? ""), path, file), "latin1").trim();
    return {
      memory: read(v2 ? "memory.max" : "memory.limit_in_bytes"),
      cpu: read(v2 ? "cpu.weight" : "cpu.shares"),
      pids: read("pids.max"),
    };
  };
  assert.equal(
    oci(["update", "--memory", "64m", "--cpu-share", "512", "--pids-limit", "50", "update"]).code,
    0,
  );
  const cpu = String(v2 ? cpuWeightFromShares(512) : 512);
  const first = { memory: String(64 << 20), cpu, pids: "50" };
  assert.deepEqual(limits(), first);
  assert.match(
    oci(["update", "--memory", "lots", "update"]).err,
    /--memory: .*lots.* is not a number of bytes/,
  );
  assert.match(
    oci(["update", "-r", "-", "update"], `{"cpu":{"shares":"many"}}`).err,
    /standard input: cpu\.shares: /,
  );
  // The second limit cannot be had, so the first is not kept either.
  assert.equal(oci(["update", "--cpu-share", "700", "--cpuset-cpus", "4095", "update"]).code, 1);
  assert.deepEqual(limits(), first);
  assert.equal(oci(["update", "-r", "-", "update"], `{"pids":{"limit":-1}}`).code, 0);
  assert.deepEqual(limits(), { ...first, pids: "max" });
  assert.equal(oci(["delete", "--force", "update"]).code, 0);
  assert.match(oci(["update", "--memory", "1g", "update"]).err, /does not exist/);
});

test("a volume is id-mapped, in a user namespace and without one", () => {
  const source = join(base, "volume");
  mkdirSync(source);
  writeFileSync(join(source, "file"), "");
  const mapping = [{ containerID: 0, hostID: 600_000, size: 65_536 }];
  const maps = { uidMappings: mapping, gidMappings: mapping };
  const show = ["ls", "-ln", "/volume/file"];
  configure(show, (spec) => {
    spec.mounts?.push({ destination: "/volume", type: "bind", source, options: ["rbind"], ...maps });
  });
  assert.match(oci(["run", "-b", bundle, "mapped"]).out, / 600000 +600000 /);
  configure(show, (spec) => {
    spec.linux?.namespaces?.push({ type: "user" });
    Object.assign(spec.linux ?? {}, maps);
    spec.mounts?.push({ destination: "/volume", source, options: ["bind", "idmap"] });
  });
  const inside = oci(["run", "-b", bundle, "inside"]);
  assert.match(inside.out, / 0 +0 /, inside.err);
});

test("ps shows the container's processes; features are those of the specification", async () => {
  configure(["sh", "-c", "sleep 300 & wait"]);
  assert.equal(ociDetached(["run", "-d", "-b", bundle, "ps"]).code, 0);
  const processes = (): number[] => JSON.parse(oci(["ps", "--format", "json", "ps"]).out) as number[];
  while (processes().length < 2) await sleep(20);
  const pids = processes();
  assert.ok(pids.includes(state("ps").pid));
  const table = oci(["ps", "ps"]).out.trim().split("\n");
  assert.match(table[0] ?? "", /PID/);
  assert.equal(table.length, pids.length + 1);
  assert.match(oci(["ps", "ps", "-o", "comm"]).err, /has no column PID/);
  assert.equal(oci(["delete", "--force", "ps"]).code, 0);

  const features = JSON.parse(oci(["features"]).out) as { linux: Record<string, { enabled?: boolean }> };
  assert.equal(features.linux["seccomp"]?.enabled, true);
  assert.deepEqual(Object.keys(features.linux).slice(0, 3), ["namespaces", "capabilities", "cgroup"]);
});
