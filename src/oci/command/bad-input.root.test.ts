/**
 * What is wrong with a bundle, an id or a command line is told in one line of the log and one on standard error, with
 * exit status 1, and nothing is left: no state, no control group, no mount, no process. Needs root.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs, {
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { after, mock, test } from "node:test";
import { EXECUTOR_PROGRAM } from "../../../test/harness/executor-program.ts";
import { patient } from "../../../test/harness/patience.ts";
import { shortDirectory } from "../../../test/harness/short-directory.ts";
import { createCgroupManager } from "../cgroup-manager.ts";
import { stringifyExactJson } from "../exact-json.ts";
import type { Spec } from "../runtime-spec.ts";
import { runCommandLine } from "./command-line.ts";
import { exampleSpec } from "./spec.ts";

const base = shortDirectory("gantry-bad-input");
const root = join(base, "root");
const bundle = join(base, "bundle");
const rootfs = join(bundle, "rootfs");
const cgroupParent = `/gantry-bad-input-${process.pid}`;
mkdirSync(join(rootfs, "bin"), { recursive: true });
copyFileSync("/usr/bin/busybox", join(rootfs, "bin/busybox"));
symlinkSync("busybox", join(rootfs, "bin/true"));
symlinkSync("loop-b", join(rootfs, "loop-a"));
symlinkSync("loop-a", join(rootfs, "loop-b"));
symlinkSync(join(base, "cycle-b"), join(base, "cycle-a"));
symlinkSync(join(base, "cycle-a"), join(base, "cycle-b"));
writeFileSync(join(base, "file"), "");

after(async () => {
  await createCgroupManager()
    .load(cgroupParent)
    .remove(AbortSignal.timeout(patient(10_000)));
  rmSync(base, { recursive: true });
});

/** A good configuration with one change. */
function config(change: (spec: Spec) => void): string {
  const spec = structuredClone(exampleSpec());
  if (spec.process) Object.assign(spec.process, { terminal: false, args: ["true"] });
  if (spec.linux) spec.linux.cgroupsPath = `${cgroupParent}/one`;
  change(spec);
  return stringifyExactJson(spec);
}
const linux = (members: Record<string, unknown>) => (spec: Spec) =>
  void Object.assign(spec.linux ?? {}, members);
const processMembers = (members: Record<string, unknown>) => (spec: Spec) =>
  void Object.assign(spec.process ?? {}, members);
const mount = (members: Record<string, unknown>) => (spec: Spec) =>
  void spec.mounts?.push({ destination: "/mnt", type: "tmpfs", source: "tmpfs", ...members });
const userNamespace = (members: Record<string, unknown>) => (spec: Spec) => {
  spec.linux?.namespaces?.push({ type: "user" });
  Object.assign(spec.linux ?? {}, members);
};

interface Outcome {
  status: number;
  stderr: string;
  /** Lines of the log. */
  log: { level: string; msg: string; time: string }[];
}

let count = 0;
/** In this process, which a program of its own for each would make slow. */
async function gantry(...args: string[]): Promise<Outcome> {
  const logPath = join(base, `log-${count++}`);
  let written = "";
  const { writeSync } = fs;
  const stderr = mock.method(fs, "writeSync", (descriptor: number, data: Uint8Array) => {
    if (descriptor !== 2) return writeSync(descriptor, data);
    written += Buffer.from(data).toString();
    return data.length;
  });
  syncBuiltinESMExports();
  const status = await runCommandLine(["--root", root, "--log", logPath, "--log-format", "json", ...args]);
  stderr.mock.restore();
  syncBuiltinESMExports();
  const text = existsSync(logPath) ? readFileSync(logPath, "utf8") : "";
  const log = text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Outcome["log"][number]);
  return { status, stderr: written, log };
}

function assertRefused(what: string, outcome: Outcome, message: RegExp): void {
  const errors = outcome.log.filter(({ level }) => level === "error");
  assert.deepEqual([outcome.status, errors.length], [1, 1], `${what}: ${outcome.stderr}`);
  assert.match(errors[0]?.msg ?? "", message, what);
  assert.match(errors[0]?.time ?? "", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.equal(outcome.stderr, `${errors[0]?.msg}\n`, what);
  assert.ok(outcome.stderr.length < 2000, `${what}: ${outcome.stderr.length} characters`);
  assert.doesNotMatch(outcome.stderr, /\n\s+at /, what);
  assertNothingLeft(what);
}

function assertNothingLeft(what: string): void {
  assert.deepEqual(existsSync(root) ? readdirSync(root) : [], [], `${what}: state`);
  assert.deepEqual(
    globSync(`/sys/fs/cgroup/{,*/}${cgroupParent.slice(1)}/*/`),
    [],
    `${what}: control groups`,
  );
  assert.ok(!readFileSync("/proc/self/mountinfo", "utf8").includes(base), `${what}: mounts`);
  const processes = readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cgroup`, "utf8").includes(cgroupParent);
    } catch {
      return false; // It has ended since.
    }
  });
  assert.deepEqual(processes, [], `${what}: processes`);
}

/** The text of config.json, and what is told. */
const CONFIGURATIONS: Record<string, [string, RegExp]> = {
  "no text": ["", /^config\.json: line 1 column 1: expected a value, found the end$/],
  "cut off": [
    '{"ociVersion": "1.0.0",\n"process": {',
    /^config\.json: line 2 column 13, at process: expected/,
  ],
  "a comma too many": [
    '{"hooks": {"prestart": [1,]}}',
    /^config\.json: line 1 column 27, at hooks\.prestart\.1: /,
  ],
  "no object": ['"text"', /^config\.json: the whole: /],
  "a list": ["[]", /^config\.json: (the whole|ociVersion): /],
  "nested deeply": ["[".repeat(200_000) + "]".repeat(200_000), /^config\.json: nested too deeply$/],
  "version 2": [config((spec) => (spec.ociVersion = "2.0.0")), /^config\.json: ociVersion: .*version 1/],
  "no version": [config((spec) => delete (spec as Partial<Spec>).ociVersion), /^config\.json: ociVersion: /],
  "version of another type": [
    config((spec) => Object.assign(spec, { ociVersion: 1 })),
    /^config\.json: ociVersion: /,
  ],
  "no root": [config((spec) => delete spec.root), /^config\.json: root: /],
  "a root that is not there": [
    config((spec) => (spec.root = { path: "none" })),
    /root\.path: .*\/none: no such file or directory$/,
  ],
  "a root that is a file": [
    config((spec) => (spec.root = { path: join(base, "file") })),
    /root\.path: .*\/file is not a directory$/,
  ],
  "a root of cyclic links": [
    config((spec) => (spec.root = { path: join(base, "cycle-a") })),
    /root\.path: .*too many symbolic links/,
  ],
  "a long root": [
    config((spec) => (spec.root = { path: "x".repeat(70_000) })),
    /root\.path: .*name too long/,
  ],
  "a relative directory": [config(processMembers({ cwd: "here" })), /^config\.json: process\.cwd: /],
  "a directory of cyclic links": [
    config(processMembers({ cwd: "/loop-a" })),
    /\/loop-a.*too many symbolic links/,
  ],
  "no such command": [
    config(processMembers({ args: ["nothing"] })),
    /"nothing": executable file not found in \$PATH$/,
  ],
  "a command of cyclic links": [
    config(processMembers({ args: ["/loop-a"] })),
    /\/loop-a.*too many symbolic links/,
  ],
  "a directory as command": [config(processMembers({ args: ["/bin"] })), /"\/bin": .*permission denied$/],
  "a long argument": [
    config(processMembers({ args: ["true", "x".repeat(200_000)] })),
    /^config\.json: process\.args\.1: /,
  ],
  "a name for a user": [
    config(processMembers({ user: { uid: "root", gid: 0 } })),
    /^config\.json: process\.user\.uid: /,
  ],
  "an unknown capability": [
    config(processMembers({ capabilities: { bounding: ["CAP_X"] } })),
    /bounding\.0: unknown capability/,
  ],
  "an unknown limit": [
    config(processMembers({ rlimits: [{ type: "RLIMIT_X", soft: 1, hard: 1 }] })),
    /rlimits\.0\.type: /,
  ],
  "a limit above the hard one": [
    config(processMembers({ rlimits: [{ type: "RLIMIT_CORE", soft: 2, hard: 1 }] })),
    /invalid argument|soft/,
  ],
  "a destination of 70 kB": [config(mount({ destination: `/${"x".repeat(70_000)}` })), /(too long|invalid)/],
  "a source of 70 kB": [
    config(mount({ type: "bind", source: `/${"x".repeat(70_000)}`, options: ["bind"] })),
    /(too long|invalid)/,
  ],
  "many directories in a destination": [
    config(mount({ destination: "/d".repeat(35_000) })),
    /(too long|invalid)/,
  ],
  "a destination of cyclic links": [
    config(mount({ destination: "/loop-a/x" })),
    /\/loop-a\/x.*too many symbolic links/,
  ],
  "a source of cyclic links": [
    config(mount({ type: "bind", source: join(base, "cycle-a"), options: ["bind"] })),
    /cycle-a.*too many symbolic links/,
  ],
  "a source that is not there": [
    config(mount({ type: "bind", source: "/none", options: ["bind"] })),
    /\/none.*no such file or directory$/,
  ],
  "an unknown filesystem": [config(mount({ type: "nofs" })), /nofs.*(no such device|unknown)/i],
  "an option the filesystem has not": [
    config(mount({ options: ["nothing=1"] })),
    /mount tmpfs on \/mnt: .*invalid argument/,
  ],
  "a namespace twice": [
    config((spec) => spec.linux?.namespaces?.push({ type: "pid" })),
    /namespaces\.6: "pid" is there twice/,
  ],
  "an unknown namespace": [
    config((spec) => spec.linux?.namespaces?.push({ type: "moon" as "pid" })),
    /namespaces\.6\.type: /,
  ],
  "a namespace that is not there": [
    config(linux({ namespaces: [{ type: "mount" }, { type: "uts", path: "/none" }] })),
    /\/none.*no such file or directory$/,
  ],
  "a file that is no namespace": [
    config(linux({ namespaces: [{ type: "mount" }, { type: "uts", path: "/etc/passwd" }] })),
    /\/etc\/passwd/,
  ],
  "mappings without a namespace": [
    config(linux({ uidMappings: [{ containerID: 0, hostID: 1, size: 1 }] })),
    /uidMappings: needs a user namespace/,
  ],
  "a namespace without mappings": [config(userNamespace({})), /uidMappings/],
  "mappings that overlap": [
    config(
      userNamespace({
        uidMappings: [
          { containerID: 0, hostID: 100_000, size: 10 },
          { containerID: 5, hostID: 200_000, size: 10 },
        ],
        gidMappings: [{ containerID: 0, hostID: 100_000, size: 10 }],
      }),
    ),
    /user namespace|[ug]idMappings/,
  ],
  "a mapping beyond all ids": [
    config(
      userNamespace({
        uidMappings: [{ containerID: 0, hostID: 4_294_967_000, size: 1000 }],
        gidMappings: [{ containerID: 0, hostID: 0, size: 1 }],
      }),
    ),
    /user namespace|uidMappings/,
  ],
  "more mappings than the kernel takes": [
    config(
      userNamespace({
        uidMappings: Array.from({ length: 400 }, (_, n) => ({
          containerID: n,
          hostID: 100_000 + n,
          size: 1,
        })),
        gidMappings: [{ containerID: 0, hostID: 0, size: 1 }],
      }),
    ),
    /user namespace|uidMappings/,
  ],
  "a user whom no mapping has": [
    config((spec) => {
      userNamespace({
        uidMappings: [{ containerID: 0, hostID: 100_000, size: 9 }],
        gidMappings: [{ containerID: 0, hostID: 100_000, size: 9 }],
      })(spec);
      processMembers({ user: { uid: 10, gid: 0 } })(spec);
    }),
    /uid|user/,
  ],
  "a sysctl of the host": [config(linux({ sysctl: { "kernel.panic": "1" } })), /kernel\.panic/],
  "a sysctl upwards": [config(linux({ sysctl: { "net/../kernel/panic": "1" } })), /sysctl/],
  "memory that nobody can live in": [
    config(linux({ resources: { memory: { limit: 1 } } })),
    /memory|cgroup|killed|died/,
  ],
  "processors that are not there": [config(linux({ resources: { cpu: { cpus: "4090" } } })), /cpuset\.cpus/],
  "an unknown propagation": [config(linux({ rootfsPropagation: "up" })), /rootfsPropagation|propagation/],
  "a hook that is not there": [
    config((spec) => (spec.hooks = { createRuntime: [{ path: "/none" }] })),
    /hook.*\/none/,
  ],
  "a hook that fails": [
    config(
      (spec) =>
        (spec.hooks = {
          createContainer: [{ path: "/bin/true", timeout: 5 }],
          createRuntime: [{ path: "/bin/false" }],
        }),
    ),
    /hook.*\/bin\/false/,
  ],
  "an unknown seccomp action": [config(linux({ seccomp: { defaultAction: "SCMP_ACT_X" } })), /seccomp/],
  "a long host name": [config((spec) => (spec.hostname = "h".repeat(65))), /host ?name/i],
};

for (const [what, [text, message]] of Object.entries(CONFIGURATIONS)) {
  test(`a configuration with ${what}`, async () => {
    writeFileSync(join(bundle, "config.json"), text);
    assertRefused(what, await gantry("run", "--bundle", bundle, "bad"), message);
  });
}

test("a bundle that is none", async () => {
  rmSync(join(bundle, "config.json"));
  assertRefused(
    "no config.json",
    await gantry("run", "-b", bundle, "bad"),
    /config\.json: no such file or directory$/,
  );
  assertRefused(
    "no bundle",
    await gantry("create", "-b", join(base, "none"), "bad"),
    /none\/config\.json: no such/,
  );
  assertRefused(
    "a file",
    await gantry("create", "-b", join(base, "file"), "bad"),
    /file\/config\.json: not a directory$/,
  );
  mkdirSync(join(bundle, "config.json"));
  assertRefused(
    "a directory",
    await gantry("create", "-b", bundle, "bad"),
    /config\.json: illegal operation on a directory$/,
  );
  rmSync(join(bundle, "config.json"), { recursive: true });
});

test("ids that are none", async () => {
  writeFileSync(
    join(bundle, "config.json"),
    config(() => undefined),
  );
  for (const id of ["a/b", "/", "..", ".", "", "x".repeat(1025), "a b", "ä", "a\nb", "%00", "a:b"]) {
    for (const command of [["create", "-b", bundle], ["state"], ["delete", "--force"]])
      assertRefused(
        JSON.stringify(id).slice(0, 20),
        await gantry(...command, "--", id),
        /^(invalid )?container id/,
      );
  }
  assert.ok(!existsSync(join(base, "bad")));
});

test("the longest id that there is, a directory's name, is taken", async () => {
  const outcome = await gantry("run", "-b", bundle, "x".repeat(255));
  assert.deepEqual([outcome.status, outcome.stderr], [0, ""]);
  assertRefused("256", await gantry("run", "-b", bundle, "x".repeat(256)), /container id .*too long/);
  assertNothingLeft("the longest id");
});

test("command lines that are none", async () => {
  for (const [args, message] of [
    [["create", "--nothing", "x"], /flag provided but not defined: --nothing/],
    [["create"], /"create" requires exactly 1 argument/],
    [["create", "-b"], /-b needs a value/],
    [["run", "--preserve-fds", "many", "x"], /"many" for --preserve-fds/],
    [["list", "--format", "xml"], /"xml" for --format/],
    [["checkpoint", "x"], /checkpoint is not implemented/],
    [["restore", "--bundle", bundle, "x"], /restore is not implemented/],
  ] as const)
    assertRefused(args.join(" "), await gantry(...args), message);
});

test("no descriptor is left open", () => {
  const open = readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).includes(base);
    } catch {
      return false; // That of this reading.
    }
  });
  assert.deepEqual(open, []);
});

test("the text format of the log, on standard error where there is no log file", () => {
  const { status, stderr } = spawnSync(
    process.execPath,
    [EXECUTOR_PROGRAM, "--root", root, "state", "none"],
    {
      encoding: "utf8",
    },
  );
  assert.equal(status, 1);
  assert.match(
    stderr,
    /^time="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ" level=error msg="container \\"none\\" does not exist"\n$/,
  );
});
