/**
 * How the installed gantry-oci starts: V8 takes the code that came with it, and none of Node's large modules is loaded for
 * what every container takes. Each costs a short command milliseconds, and comes in with a single import. (Time itself is
 * measured by `npm run bench -- --oci`.)
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  constants,
  copyFileSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createCgroupManager } from "../src/oci/cgroup-manager.ts";
import { FakeSystemd } from "../src/oci/fake-systemd.ts";
import type { Spec } from "../src/oci/runtime-spec.ts";
import { exampleSpec } from "../src/oci/command/spec.ts";
import { runCommand } from "./harness/command.ts";
import { installExecutor } from "./harness/installed-executor.ts";
import { shortDirectory } from "./harness/short-directory.ts";

const LARGE =
  "child_process crypto fs/promises http internal/abort_controller net readline stream timers/promises url util worker_threads zlib".split(
    " ",
  );

const home = shortDirectory("gantry-executor-start");
const bundle = join(home, "bundle");
before(async () => {
  await installExecutor(join(home, "installed"));
  mkdirSync(join(bundle, "rootfs/bin"), { recursive: true });
  copyFileSync("/usr/bin/busybox", join(bundle, "rootfs/bin/busybox"));
  for (const name of ["true", "grep"]) symlinkSync("busybox", join(bundle, "rootfs/bin", name));
  const spec = structuredClone(exampleSpec());
  if (spec.process) Object.assign(spec.process, { terminal: false, args: ["true"] });
  if (spec.linux) spec.linux.cgroupsPath = `/gantry-executor-start-${process.pid}`;
  writeFileSync(join(bundle, "config.json"), JSON.stringify(spec));
});
after(() => rmSync(home, { recursive: true }));

test("run loads none of Node's large modules", async () => {
  const probe = join(home, "probe.cjs");
  const program = join(home, "installed/dist/gantry-oci.cjs");
  const told = JSON.stringify(join(home, "modules.json"));
  writeFileSync(
    probe,
    `const before = new Set(process.moduleLoadList);
     const { writeFileSync } = require("node:fs");
     const { dlopen } = process;
     process.dlopen = (module, ...rest) => {
       dlopen(module, ...rest);
       const { endProcess } = module.exports;
       // No exit handler runs.
       module.exports.endProcess = (status) => {
         writeFileSync(${told}, JSON.stringify(process.moduleLoadList.filter((name) => !before.has(name))));
         endProcess(status);
       };
     };`,
  );
  const args = ["--hash-seed=1", "--require", probe, program, "--root", join(home, "root")];
  const { code, stderr } = await runCommand(process.execPath, [...args, "run", "-b", bundle, "one"]);
  assert.equal(code, 0, stderr);
  const loaded = JSON.parse(readFileSync(join(home, "modules.json"), "utf8")) as string[];
  const large = loaded.filter((name) => LARGE.includes(name.replace("NativeModule ", "")));
  assert.deepEqual(large, []);
});

test("V8 takes the code that came with the program, under the options of bin/gantry-oci", async () => {
  const probe = join(home, "script.cjs");
  writeFileSync(
    probe,
    `const vm = require("node:vm");
     const { Script } = vm;
     vm.Script = class extends Script {
       constructor(source, options) {
         super(source, options);
         process.stdout.write("refused: " + String(this.cachedDataRejected) + "\\n");
       }
     };`,
  );
  const { stdout } = await runCommand(join(home, "installed/bin/gantry-oci"), ["--version"], {
    env: { ...process.env, NODE_OPTIONS: `--require ${probe}` },
  });
  assert.match(stdout, /^refused: false\ngantry-oci version/);
});

test("a warning leaves the container streams that block", () => {
  const config = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8")) as Spec;
  const syslog = { bounding: ["CAP_SYSLOG"], permitted: ["CAP_SYSLOG"] };
  const args = ["grep", "flags", "/proc/self/fdinfo/2"];
  Object.assign(config.process ?? {}, { args, capabilities: syslog, noNewPrivileges: false });
  writeFileSync(join(bundle, "config.json"), JSON.stringify(config));
  const less = ["--bounding-set", "-syslog", "--inh-caps", "-syslog", join(home, "installed/bin/gantry-oci")];
  const run = [...less, "--root", join(home, "root"), "run", "-b", bundle, "warned"];
  const { stdout, stderr } = spawnSync("setpriv", run, { encoding: "utf8" });
  assert.match(stderr, /cannot give CAP_SYSLOG/);
  assert.match(stdout, /^flags:/);
  assert.equal(Number.parseInt(stdout.replace("flags:", ""), 8) & constants.O_NONBLOCK, 0, stdout);
});

test("groups of systemd are made by way of the library that is installed beside the program", async () => {
  const systemd = new FakeSystemd(join(home, "bus"));
  const slice = `gantryexecutorstart${process.pid}.slice`;
  const config = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8")) as Spec;
  Object.assign(config.process ?? {}, { args: ["true"] });
  Object.assign(config.linux ?? {}, { cgroupsPath: `${slice}:gantry:one` });
  writeFileSync(join(bundle, "config.json"), JSON.stringify(config));
  // A systemd of this host is not to be asked.
  const hidden = `[ -d /run/systemd ] && mount -t tmpfs none /run/systemd; exec "$@"`;
  const command = ["sh", "-c", hidden, "sh", join(home, "installed/bin/gantry-oci")];
  const run = [...command, "--root", join(home, "root"), "--systemd-cgroup", "run", "-b", bundle, "one"];
  try {
    const { code, stderr } = await runCommand("unshare", ["--mount", ...run], {
      env: { ...process.env, DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${join(home, "bus")}` },
    });
    assert.equal(code, 0, stderr);
    assert.ok(systemd.calls.includes("StartTransientUnit gantry-one.scope"), systemd.calls.join());
    assert.ok(systemd.calls.includes("StopUnit gantry-one.scope"), systemd.calls.join());
  } finally {
    await systemd.close();
    await createCgroupManager().load(`/${slice}`).removeIfEmpty();
  }
});
