/**
 * gantry-oci beside the real runc: the same command line on the same bundle gives the same exit status, the same shape of
 * output, and the words that engines look for. Needs root.
 *
 * Where they differ on purpose it is not asked here: `delete` of a container that is only created (the specification
 * refuses it, runc kills), a uid beyond 2^32 (runc cuts it), `features` (more than this runc has).
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createCgroupManager } from "../src/oci/cgroup-manager.ts";
import type { Spec } from "../src/oci/runtime-spec.ts";
import { EXECUTOR_PROGRAM } from "./harness/executor-program.ts";
import { shortDirectory } from "./harness/short-directory.ts";

const base = shortDirectory("gantry-oci-runc");
// Each call is a process of its own, which would compile the sources again.
process.env["NODE_COMPILE_CACHE"] = join(base, "compiled");
const cgroupParent = `/gantry-oci-runc-${process.pid}`;

interface Result {
  code: number | null;
  out: string;
  err: string;
}

class Runtime {
  readonly name: string;
  readonly bundle: string;
  readonly #command: string[];

  constructor(name: string, command: string[]) {
    this.name = name;
    this.bundle = join(base, name);
    this.#command = [...command, "--root", join(base, `root-${name}`)];
  }

  /** Output goes to files: a container that goes on keeps what it has of them open. */
  run(args: readonly string[], input = ""): Result {
    const [program = "", ...rest] = [...this.#command, ...args];
    const paths = ["in", "out", "err"].map((name) => join(base, `${this.name}.${name}`));
    writeFileSync(paths[0] ?? "", input);
    const stdio = paths.map((path, index) => openSync(path, index === 0 ? "r" : "w"));
    const { status } = spawnSync(program, rest, { stdio, cwd: this.bundle, timeout: 60_000 });
    for (const fd of stdio) closeSync(fd);
    const [, out = "", err = ""] = paths.map((path) => readFileSync(path, "utf8"));
    return { code: status, out, err };
  }
}

const runc = new Runtime("runc", ["runc"]);
const gantry = new Runtime("gantry", [process.execPath, EXECUTOR_PROGRAM]);

before(() => {
  for (const { bundle, name } of [runc, gantry]) {
    mkdirSync(join(bundle, "rootfs/bin"), { recursive: true });
    copyFileSync("/usr/bin/busybox", join(bundle, "rootfs/bin/busybox"));
    for (const applet of ["sh", "sleep", "true", "cat", "id", "kill"])
      symlinkSync("busybox", join(bundle, "rootfs/bin", applet));
    // The configuration is the one that runc writes.
    assert.equal(runc.run(["spec", "--bundle", bundle]).code, 0);
    const path = join(bundle, "config.json");
    const spec = JSON.parse(readFileSync(path, "utf8")) as Spec;
    Object.assign(spec.process ?? {}, { terminal: false, args: ["sleep", "300"] });
    Object.assign(spec.linux ?? {}, { cgroupsPath: `${cgroupParent}/${name}` });
    spec.annotations = { "org.example": "x" };
    writeFileSync(path, JSON.stringify(spec));
  }
});
after(async () => {
  for (const runtime of [runc, gantry]) runtime.run(["delete", "--force", "c"]);
  await createCgroupManager().load(cgroupParent).remove(AbortSignal.timeout(10_000));
  rmSync(base, { recursive: true });
});

/** Both with the same arguments. @param words that both errors have, where it is one. */
function both(args: readonly string[], words?: RegExp, input = ""): { own: Result; theirs: Result } {
  const [own, theirs] = [gantry.run(args, input), runc.run(args, input)];
  const what = args.join(" ");
  assert.equal(own.code, theirs.code, `${what}: gantry-oci: ${own.err}\nrunc: ${theirs.err}`);
  if (words) {
    for (const { err } of [own, theirs])
      assert.match(err.trimEnd().split("\n").at(-1) ?? "", /^time="[^"]+Z" level=error msg=".*"$/, what);
    assert.match(theirs.err, words, `${what}: runc`);
    assert.match(own.err, words, `${what}: gantry-oci`);
  }
  return { own, theirs };
}

/** Names and types, deep; of a list, the first item's. */
function shape(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? [] : [shape(value[0])];
  if (typeof value !== "object" || value === null) return value === null ? "null" : typeof value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, shape(member)]));
}

async function becomes(status: string): Promise<void> {
  for (const runtime of [runc, gantry]) {
    const now = (): string => (JSON.parse(runtime.run(["state", "c"]).out) as { status: string }).status;
    while (now() !== status) await sleep(20);
  }
}

test("without a container", () => {
  for (const command of [
    ["state", "c"],
    ["start", "c"],
    ["kill", "c", "KILL"],
    ["kill", "--all", "c", "9"],
    ["delete", "c"],
    ["pause", "c"],
    ["resume", "c"],
    ["ps", "c"],
    ["update", "--memory", "32m", "c"],
    ["events", "--stats", "c"],
    ["exec", "c", "true"],
  ])
    both(command, /does not exist/);
  both(["delete", "--force", "c"]);
  assert.equal(both(["list", "--quiet"]).own.out, "");
  // Where there are none, runc prints null; an empty list is what who reads it makes of that.
  assert.equal(both(["list", "-f", "json"]).own.out, "[]\n");
  const { own, theirs } = both(["list"]);
  assert.equal(own.out, theirs.out);
});

test("command lines that are none", () => {
  both(["nothing"]);
  both(["--nothing", "list"]);
  both(["--log-format", "xml", "list"], /invalid log-format/);
  both(["kill"], /requires a minimum of 1 argument/);
  both(["kill", "c", "9", "x"], /requires a maximum of 2 argument/);
  both(["state"], /requires exactly 1 argument/);
  both(["list", "x"], /requires exactly 0 argument/);
  both(["state", "--nothing", "c"], /flag provided but not defined: -+nothing/);
  both(["state", ""], /container id cannot be empty/);
  both(["state", "a/b"], /invalid container (ID|id)/);
  both(["exec", "c"]);
  both(["create", "--bundle", "/none", "c"], /no such file or directory/);
  both(["spec"], /exists/);
  for (const help of [[], ["help"], ["--help"], ["kill", "--help"], ["--version"]]) both(help);
});

test("created", () => {
  both(["create", "--pid-file", join(base, "pid"), "c"]);
  both(["create", "c"], /already exists/);
  const { own, theirs } = both(["state", "c"]);
  const [ownState, theirState] = [JSON.parse(own.out), JSON.parse(theirs.out)] as Record<string, unknown>[];
  assert.deepEqual(shape(ownState), shape(theirState));
  assert.deepEqual(Object.keys(ownState ?? {}), Object.keys(theirState ?? {}));
  for (const field of ["ociVersion", "id", "status", "annotations", "owner"])
    assert.deepEqual(ownState?.[field], theirState?.[field], field);
  both(["exec", "c", "true"]);
  both(["resume", "c"], /not paused/);
  both(["kill", "c", "0"]);
  both(["start", "c"]);
});

test("running", () => {
  both(["start", "c"], /cannot start an already running container/);
  both(["delete", "c"], /cannot delete container c that is not stopped: running/);
  both(["resume", "c"], /not paused/);
  both(["kill", "c", "NONE"], /unknown signal/);

  const [ownList, theirList] = Object.values(both(["list"])).map(({ out }) => out.split("\n"));
  assert.deepEqual(ownList?.[0]?.trim().split(/ +/), theirList?.[0]?.trim().split(/ +/));
  const columns = (line = ""): string[] => line.trim().split(/ {2,}/);
  assert.deepEqual(columns(ownList?.[1]).toSpliced(1, 1).toSpliced(2, 2), ["c", "running", "root"]);
  assert.deepEqual(columns(theirList?.[1]).toSpliced(1, 1).toSpliced(2, 2), ["c", "running", "root"]);
  const json = both(["list", "--format", "json"]);
  assert.deepEqual(shape(JSON.parse(json.own.out)), shape(JSON.parse(json.theirs.out)));
  assert.equal(both(["list", "-q"]).own.out, "c\n");

  const pids = both(["ps", "--format", "json", "c"]);
  assert.deepEqual(shape(JSON.parse(pids.own.out)), shape(JSON.parse(pids.theirs.out)));
  const table = both(["ps", "c"]);
  assert.equal(table.own.out.split("\n")[0], table.theirs.out.split("\n")[0]);
  assert.equal(table.own.out.split("\n").length, table.theirs.out.split("\n").length);
  assert.match(both(["ps", "c", "-o", "pid,comm"]).own.out, /PID COMMAND\n *\d+ sleep\n$/);
  both(["ps", "c", "-o", "comm"], /PID/);
});

test("exec", () => {
  const output = (...args: string[]): void => {
    const { own, theirs } = both(["exec", ...args]);
    assert.equal(own.out, theirs.out, args.join(" "));
  };
  output("c", "id");
  output("--user", "5:6", "-g", "7", "-g", "8", "c", "id");
  output("-e", "A=1", "-e", "B=x y", "--cwd", "/bin", "c", "sh", "-c", "pwd; echo $A $B");
  output("--cap", "CAP_SYS_TIME", "c", "sh", "-c", "grep Cap /proc/self/status");
  output("c", "sh", "-c", "exit 9");
  output("c", "sh", "-c", "kill -9 $$");
  output("-no-new-privs", "c", "sh", "-c", "-x");
  both(["exec", "-d", "--pid-file", join(base, "exec-pid"), "c", "true"]);
  const process = { user: { uid: 3, gid: 4 }, cwd: "/", args: ["/bin/id"], env: ["PATH=/bin"] };
  writeFileSync(join(base, "process.json"), JSON.stringify(process));
  output("--process", join(base, "process.json"), "c");
  both(["exec", "c"], /process args cannot be empty/);
  both(["exec", "c", "none"], /exec: \\"none\\": executable file not found in \$PATH/);
  both(["exec", "c", "/none"], /exec: \\"\/none\\": stat \/none: no such file or directory/);
  both(["exec", "--cwd", "/none", "c", "true"], /\/none.*no such file or directory/);
  both(["exec", "--user", "root", "c", "true"], /root/);
  both(["exec", "--process", "/none", "c"], /open \/none: no such file or directory/);
  both(["exec", "-d", "-t", "c", "true"], /without (setting console socket|--console-socket)/);
  both(["exec", "--console-socket", "/none", "c", "true"], /console.socket/);
});

test("update", () => {
  const memory = (): string[] =>
    [gantry, runc].map(({ name }) =>
      readFileSync(`/sys/fs/cgroup/memory${cgroupParent}/${name}/memory.limit_in_bytes`, "latin1").trim(),
    );
  both(["update", "c"]);
  both(["update", "c", "--memory", "64m", "--cpu-share", "300", "--pids-limit", "40"]);
  assert.deepEqual(memory(), [String(64 << 20), String(64 << 20)]);
  both(["update", "--resources", "-", "c"], undefined, `{"memory":{"limit":134217728},"cpu":{"shares":200}}`);
  assert.deepEqual(memory(), [String(128 << 20), String(128 << 20)]);
  both(["update", "-r", "/none", "c"], /\/none: no such file or directory/);
  both(["update", "-r", "-", "c"], /cpu\.shares/, `{"cpu":{"shares":"x"}}`);
  both(["update", "--memory", "lots", "c"], /memory.*lots/);
  both(["update", "--pids-limit", "x", "c"]);
  both(["update", "--memory", "1", "c"], /\d+/);
  assert.deepEqual(memory(), [String(128 << 20), String(128 << 20)]);
});

test("events: every name that runc has, nested alike", () => {
  const { own, theirs } = both(["events", "--stats", "c"]);
  const [ownEvent, theirEvent] = [own, theirs].map(({ out }) => JSON.parse(out) as Record<string, unknown>);
  /** A counter that is 0 is left out by both; what one has counted, the other need not have. */
  const names = (value: unknown, path = ""): string[] =>
    typeof value !== "object" || value === null || Array.isArray(value)
      ? [`${path} ${Array.isArray(value) ? "list" : typeof value}`]
      : Object.entries(value).flatMap(([key, member]) => names(member, `${path}.${key}`));
  const mayBeZero =
    /\.(blkio|hugetlb|throttling)\.|\.pids\.|\.(usage|max|cache|total|percpu\w*) (number|list)$/;
  const certain = (event: unknown): string[] =>
    names(event)
      .filter((name) => !mayBeZero.test(name))
      .toSorted();
  assert.deepEqual(certain(ownEvent), certain(theirEvent));
  both(["events", "--interval", "0s", "c"], /interval must be greater than 0/);
});

test("paused", async () => {
  both(["pause", "c"]);
  await becomes("paused");
  both(["pause", "c"], /not running/);
  both(["start", "c"], /cannot start a container in the paused state/);
  both(["exec", "c", "true"], /cannot exec in a paused container \(use --ignore-paused to override\)/);
  both(["resume", "c"]);
  await becomes("running");
});

test("stopped", async () => {
  both(["kill", "c", "SIGKILL"]);
  await becomes("stopped");
  const { own, theirs } = both(["state", "c"]);
  assert.deepEqual(shape(JSON.parse(own.out)), shape(JSON.parse(theirs.out)));
  assert.equal((JSON.parse(own.out) as { pid: number }).pid, 0);
  both(["kill", "c"], /container not running/);
  both(["kill", "--all", "c"]);
  both(["start", "c"], /cannot start a container that has stopped/);
  both(["exec", "c", "true"], /cannot exec in a stopped container/);
  both(["pause", "c"], /container not running/);
  both(["resume", "c"], /container not paused/);
  both(["events", "--stats", "c"], /container with id c is not running/);
  both(["update", "--memory", "32m", "c"], /container not running/);
  const table = both(["ps", "c"]);
  assert.equal(table.own.out.split("\n").length, table.theirs.out.split("\n").length);
  both(["delete", "c"]);
  both(["delete", "c"], /does not exist/);
});

test("run: exit status, and the log as text and JSON", () => {
  const set = (change: (spec: Spec) => void): void => {
    for (const { bundle } of [runc, gantry]) {
      const path = join(bundle, "config.json");
      const spec = JSON.parse(readFileSync(path, "utf8")) as Spec;
      change(spec);
      writeFileSync(path, JSON.stringify(spec));
    }
  };
  set((spec) => Object.assign(spec.process ?? {}, { args: ["sh", "-c", "cat; exit 7"] }));
  const { own, theirs } = both(["run", "c"], undefined, "from outside\n");
  assert.deepEqual([own.code, own.out, theirs.out], [7, "from outside\n", "from outside\n"]);
  set((spec) => Object.assign(spec.process ?? {}, { args: ["none"] }));
  both(["run", "c"], /exec: \\"none\\": executable file not found in \$PATH/);
  const logs = [gantry, runc].map((runtime) => {
    const log = join(base, `${runtime.name}.log`);
    const { code, err } = runtime.run(["--log", log, "--log-format", "json", "run", "c"]);
    const last = JSON.parse(readFileSync(log, "utf8").trim().split("\n").at(-1) ?? "") as Record<
      string,
      string
    >;
    assert.equal(
      err.trim().split("\n").at(-1),
      last["msg"],
      `${runtime.name} tells the same on standard error`,
    );
    assert.equal(last["level"], "error");
    return { code, names: Object.keys(last) };
  });
  assert.deepEqual(logs[0], logs[1]);
  const version = (runtime: Runtime): string[] =>
    runtime
      .run(["--version"])
      .out.split("\n")
      .map((line) => line.split(" ")[0] ?? "");
  assert.equal(version(gantry)[0], "gantry-oci");
  assert.ok(version(gantry).includes("spec:") && version(runc).includes("spec:"));
});

test("features has every member that this runc has", () => {
  type Tree = Record<string, unknown>;
  const [own, theirs] = Object.values(both(["features"])).map(({ out }) => JSON.parse(out) as Tree);
  const missing = (mine: unknown, other: unknown, path: string): string[] => {
    if (Array.isArray(other))
      return other
        .filter((item) => !(mine as unknown[]).includes(item))
        .map((item) => `${path}: ${String(item)}`);
    if (typeof other !== "object" || other === null) return mine === undefined ? [path] : [];
    return Object.entries(other).flatMap(([key, member]) =>
      missing((mine as Tree | undefined)?.[key], member, `${path}.${key}`),
    );
  };
  const { annotations: _versions, ...features } = theirs ?? {};
  // Filters are compiled for two families of processors; options of one filesystem alone go to it as they are.
  const others =
    /seccomp\.archs: SCMP_ARCH_(MIPS|PPC|S390|RISCV)|mountOptions: ((no)?(acl|iversion)|dirsync|lazytime|mand|remount|sync)$/;
  assert.deepEqual(
    missing(own, features, "").filter((name) => !others.test(name)),
    [],
  );
});

test("spec: the members that runc's have, also without privileges", () => {
  for (const options of [[], ["--rootless"]]) {
    const [own, theirs] = [gantry, runc].map((runtime) => {
      const directory = mkdtempSync(join(base, "spec-"));
      assert.equal(runtime.run(["spec", "-b", directory, ...options]).code, 0);
      return JSON.parse(readFileSync(join(directory, "config.json"), "utf8")) as Spec;
    });
    const outline = (spec: Spec | undefined) => ({
      members: Object.keys(spec ?? {}).toSorted(),
      linux: Object.keys(spec?.linux ?? {}).toSorted(),
      mounts: spec?.mounts?.map(({ destination, type }) => `${destination} ${type}`),
      // runc leaves out the cgroup namespace on hosts of v1.
      namespaces: spec?.linux?.namespaces
        ?.map(({ type }) => type)
        .filter((type) => type !== "cgroup")
        .toSorted(),
      mappings: spec?.linux?.uidMappings,
    });
    assert.deepEqual(outline(own), outline(theirs));
  }
});
