/**
 * The benchmark at the level of OCI bundles: create, start and reap of one that runs `true`, in the daemon's own path
 * (control group, plan, shim, exit record; no CRI), and as the commands of three runtimes, in turn, in one run.
 *
 *   npm run bench -- --oci [--rounds N] [--json FILE]
 */
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmdirSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { cpus, release, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { errorMessage } from "../src/base/errors.ts";
import { silentLogger } from "../src/base/logger.ts";
import { shimProgram } from "../src/native/addon.ts";
import { runProgram } from "../src/native/program.ts";
import { createCgroupManager } from "../src/oci/cgroup-manager.ts";
import { exampleSpec } from "../src/oci/command/spec.ts";
import { parseSpec } from "../src/oci/config-check.ts";
import { planForContainer } from "../src/oci/container-plan.ts";
import { PLAN_FINGERPRINT } from "../src/oci/plan.ts";
import type { Spec } from "../src/oci/runtime-spec.ts";
import { DEFAULT_DEVICE_RULES } from "../src/oci/spec-defaults.ts";
import { createShimManager } from "../src/shim/shim-manager.ts";
import { installExecutor } from "../test/harness/installed-executor.ts";
import { markdownTable } from "./table.ts";
import { type Measures, timed } from "./work.ts";

/** Rounds that warm caches and compilers, and do not count. */
const WARM_UP = 5;

/** The variable in which a process finds the directory that was prepared for it. */
const PREPARED = "GANTRY_BENCH_OCI";
const UNIFIED_CONTROLLERS = "/sys/fs/cgroup/unified/cgroup.controllers";

const never = new AbortController().signal;

/**
 * In a mount namespace of its own: bundle and states are on a tmpfs, as /run is on most hosts, and on a hybrid host v2 seems to have no
 * controllers, without which an old crun does not run there.
 */
export async function benchmarkBundles(rounds: number, json: string): Promise<void> {
  const prepared = process.env[PREPARED];
  if (prepared !== undefined) return measureBundles(prepared, rounds, json);
  const directory = mkdtempSync(join(tmpdir(), "gantry-bench-oci-"));
  const script = `mount -t tmpfs -o mode=700 bench "$${PREPARED}" && : > "$${PREPARED}/empty" &&
    { [ ! -e ${UNIFIED_CONTROLLERS} ] || mount --bind "$${PREPARED}/empty" ${UNIFIED_CONTROLLERS}; } && exec "$@"`;
  const command = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const { status } = spawnSync("unshare", ["--mount", "sh", "-c", script, "sh", ...command], {
    stdio: "inherit",
    env: { ...process.env, [PREPARED]: directory },
  });
  rmdirSync(directory);
  if (status !== 0) process.exitCode = 1;
}

async function measureBundles(directory: string, rounds: number, json: string): Promise<void> {
  const parent = `/gantry-bench-oci-${process.pid}`;
  const cgroups = createCgroupManager();
  await cgroups.create(parent, {});
  try {
    const bundle = makeBundle(directory, parent);
    const own = await installExecutor(join(directory, "installed"));
    const runtimes: Record<string, string[]> = {
      runc: [found("runc"), "--root", join(directory, "runc")],
      crun: [found("crun"), "--root", join(directory, "crun")],
      "gantry-oci": [own, "--root", join(directory, "gantry-oci")],
    };
    const inDaemon = daemonPath(directory, parent, bundle);
    for (const [name, command] of Object.entries(runtimes)) {
      const failure = await tried(() => run([...command, "run", "-b", bundle.path, "bench"]));
      if (failure === undefined) continue;
      console.log(`${name} is not measured: ${failure}`);
      delete runtimes[name];
    }
    const measures: Measures = {};
    for (let round = -WARM_UP; round < rounds; round++) {
      const into = round < 0 ? {} : measures;
      await timed(into, "in the daemon's path", () => inDaemon(round + WARM_UP));
      for (const [name, command] of Object.entries(runtimes))
        await timed(into, `${name} run`, () => run([...command, "run", "-b", bundle.path, "bench"]));
      await timed(into, "starting /bin/true alone", () => run(["/bin/true"]));
    }
    report(measures, json);
  } finally {
    await cgroups.load(parent).remove(AbortSignal.timeout(10_000));
  }
}

interface Bundle {
  path: string;
  rootfs: string;
  text: string;
}

function makeBundle(directory: string, parent: string): Bundle {
  const path = join(directory, "bundle");
  const rootfs = join(path, "rootfs");
  mkdirSync(join(rootfs, "bin"), { recursive: true });
  copyFileSync("/usr/bin/busybox", join(rootfs, "bin/busybox"));
  symlinkSync("busybox", join(rootfs, "bin/true"));
  const spec: Spec = structuredClone(exampleSpec());
  // What the oldest of them knows.
  spec.ociVersion = "1.0.2";
  if (spec.process) Object.assign(spec.process, { terminal: false, args: ["true"] });
  if (spec.linux) spec.linux.cgroupsPath = `${parent}/command`;
  const text = JSON.stringify(spec);
  writeFileSync(join(path, "config.json"), text);
  return { path, rootfs, text };
}

/** What the daemon does between having a configuration and having the exit status, and its removal of everything. */
function daemonPath(directory: string, parent: string, bundle: Bundle): (number: number) => Promise<void> {
  const cgroups = createCgroupManager();
  const shims = createShimManager({
    stateDirectory: join(directory, "daemon"),
    program: shimProgram,
    log: silentLogger,
    planBuild: PLAN_FINGERPRINT,
  });
  const spec = parseSpec(bundle.text, "config.json");
  const given = spec.linux?.resources ?? {};
  const resources = { ...given, devices: [...(given.devices ?? []), ...DEFAULT_DEVICE_RULES] };
  return async (number) => {
    const path = `${parent}/daemon-${number}`;
    const cgroup = cgroups.load(path);
    const plan = async (): Promise<Uint8Array> => {
      await cgroups.create(path, resources);
      return planForContainer(spec, {
        rootfs: { type: "bind", source: bundle.rootfs, readonly: false },
        cgroup: cgroup.entries(),
        gate: "none",
      });
    };
    const id = `bench-${number}`;
    const shim = await shims.start(
      {
        id,
        plan,
        log: undefined,
        terminal: false,
        stdin: false,
        stdinOnce: false,
        memoryCgroupDirectory: cgroup.memoryDirectory(),
        shimCgroup: { tasksFiles: [] },
        startNow: true,
      },
      never,
    );
    const { exitCode } = await shim.wait();
    if (exitCode !== 0) throw new Error(`the container ended with ${exitCode}`);
    await shim.delete();
    await cgroup.remove(never);
  };
}

function found(name: string): string {
  const directories = (process.env["PATH"] ?? "").split(":");
  return directories.map((directory) => join(directory, name)).find((path) => existsSync(path)) ?? name;
}

async function run([path = "", ...args]: string[]): Promise<void> {
  const limits = { input: "", stdoutLimitBytes: 65_536, stderrLimitBytes: 65_536 };
  const environment = [`PATH=${process.env["PATH"] ?? ""}`];
  const { failure, stderr } = await runProgram({ path, args, environment, ...limits }, never);
  if (failure !== "") throw new Error(`${path}: ${failure}: ${stderr}`);
}

async function tried(work: () => Promise<void>): Promise<string | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    return errorMessage(error);
  }
}

function report(measures: Measures, json: string): void {
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? "processor"}, Linux ${release()}`;
  console.log(`${new Date().toISOString().slice(0, 10)}, ${machine}\n`);
  console.log(markdownTable([{ name: "create, start, reap", measures }]));
  mkdirSync(dirname(json), { recursive: true });
  writeFileSync(json, JSON.stringify({ date: new Date().toISOString(), machine, measures }, null, 1));
}
