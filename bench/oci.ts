/**
 * The benchmark at the level of OCI bundles: create, start and reap of one that runs `true`, in the daemon's own path
 * (control group, plan, shim, exit record; no CRI), and as the commands of three runtimes, in turn, in one run.
 *
 *   npm run bench -- --oci [--rounds N] [--json FILE]
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { dirname, join } from "node:path";
import { errorMessage } from "../src/base/errors.ts";
import { silentLogger } from "../src/base/logger.ts";
import { shimProgram } from "../src/native/addon.ts";
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

export async function benchmarkBundles(rounds: number, json: string): Promise<void> {
  const directory = mkdtempSync("/run/gantry-bench-oci-");
  const parent = `/gantry-bench-oci-${process.pid}`;
  const cgroups = createCgroupManager();
  await cgroups.create(parent, {});
  try {
    const bundle = makeBundle(directory, parent);
    const own = await installExecutor(join(directory, "installed"));
    const runtimes: Record<string, string[]> = {
      runc: ["runc", "--root", join(directory, "runc")],
      crun: ["crun", "--root", join(directory, "crun")],
      "gantry-oci": [own, "--root", join(directory, "gantry-oci")],
    };
    const inDaemon = daemonPath(directory, parent, bundle);
    for (const [name, command] of Object.entries(runtimes)) {
      const failure = tried(() => run([...command, "run", "-b", bundle.path, "bench"]));
      // An old crun refuses hybrid hosts on which v2 has controllers.
      if (failure === undefined) continue;
      console.log(`${name} is not measured: ${failure}`);
      delete runtimes[name];
    }
    const measures: Measures = {};
    for (let round = -WARM_UP; round < rounds; round++) {
      const into = round < 0 ? {} : measures;
      await timed(into, "in the daemon's path", () => inDaemon(round + WARM_UP));
      for (const [name, command] of Object.entries(runtimes))
        await timed(into, `${name} run`, async () => run([...command, "run", "-b", bundle.path, "bench"]));
      await timed(into, "starting /bin/true alone", async () => run(["/bin/true"]));
    }
    report(measures, json);
  } finally {
    await cgroups.load(parent).remove(AbortSignal.timeout(10_000));
    rmSync(directory, { recursive: true, force: true });
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
  const never = new AbortController().signal;
  const spec = parseSpec(bundle.text, "config.json");
  const given = spec.linux?.resources ?? {};
  const resources = { ...given, devices: [...(given.devices ?? []), ...DEFAULT_DEVICE_RULES] };
  return async (number) => {
    const path = `${parent}/daemon-${number}`;
    const cgroup = await cgroups.create(path, resources);
    const plan = planForContainer(spec, {
      rootfs: { type: "bind", source: bundle.rootfs, readonly: false },
      cgroup: cgroup.entries(),
      gate: "none",
    });
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

function run([program = "", ...args]: string[]): void {
  const { status, stderr, error } = spawnSync(program, args, { stdio: ["ignore", "ignore", "pipe"] });
  if (error || status !== 0) throw new Error(`${program}: ${error?.message ?? String(stderr)}`);
}

function tried(work: () => void): string | undefined {
  try {
    work();
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
