/**
 * What runs in the virtual machine: the parts that /job/options.json names, one after the other, each leaving its
 * output and a count in /job/results. The part "reboot" ends with the status that has the machine boot again; this
 * file is then run once more, and goes on with what it noted on the disk.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { debianPrograms, handlerSettings } from "../../harness/external-runtimes.ts";
import {
  INSTALLED_ENDPOINT,
  INSTALLED_NRI_SOCKET,
  installedLeftovers,
  removeInstalledSettings,
  succeed,
  writeInstalledSettings,
} from "../../harness/installed.ts";
import { startRegistry } from "../../harness/registry.ts";
import type { CritestResult } from "../../critest/result-file.ts";
import { UPSTREAMS } from "../../critest/subject.ts";
import { type GuestOptions, type PartResult, REBOOT, type Step } from "../job.ts";

const JOB = "/job";
const RESULTS = join(JOB, "results");
const NOTE = "/var/lib/gantry-guest-done";
const project = join(import.meta.dirname, "../../..");

const options = JSON.parse(await readFile(join(JOB, "options.json"), "utf8")) as GuestOptions;
const packages = (await readdir(JOB)).filter((name) => name.endsWith(".deb")).map((name) => join(JOB, name));
const packagePath = packages.find((path) => !path.includes("upgrade")) ?? "";
process.env["GANTRY_PACKAGE"] = packagePath;
process.env["GANTRY_UPGRADE"] = packages.find((path) => path.includes("upgrade")) ?? "";

await mkdir(RESULTS, { recursive: true });
const done = (await readFile(NOTE, "utf8").catch(() => "")).split("\n").filter((line) => line !== "");
for (const step of options.steps) {
  if (done.includes(step)) continue;
  console.log(`\n=== ${step}`);
  const result = await run(step).catch((error: unknown): PartResult => {
    console.log(error);
    return { passed: 0, failed: 1, skipped: 0, failures: [String(error)] };
  });
  await writeFile(join(RESULTS, `${step}.json`), JSON.stringify(result));
  done.push(step);
  await writeFile(NOTE, done.join("\n"));
  if (step === "before-reboot") process.exit(REBOOT);
}

async function run(step: Step): Promise<PartResult> {
  switch (step) {
    case "package":
      return await tests(step, ["test/package.vm.test.ts"]);
    case "before-reboot":
    case "after-reboot":
      return await tests(step, ["test/reboot.vm.test.ts"]);
    case "tests":
      return await tests(step, options.tests);
    case "critest":
      return await critest();
  }
}

/** Runs a program of the work tree; what it prints is printed, and kept as well. Resolves to its exit status. */
async function program(step: Step, args: readonly string[]): Promise<number> {
  const log = createWriteStream(join(RESULTS, `${step}.log`));
  const child = spawn(process.execPath, args, { cwd: project, stdio: ["ignore", "pipe", "pipe"] });
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => {
      process.stdout.write(chunk);
      log.write(chunk);
    });
  await once(child, "close");
  log.end();
  return child.exitCode ?? 1;
}

async function tests(step: Step, patterns: readonly string[]): Promise<PartResult> {
  const result = join(RESULTS, `${step}.json`);
  const code = await program(step, [
    ...["test/run-tests.ts", "--no-install", `--result=${result}`],
    ...(options.serial ? ["--serial"] : []),
    ...patterns,
  ]);
  const counts = JSON.parse(await readFile(result, "utf8")) as PartResult;
  if (code !== 0 && counts.failed === 0) throw new Error(`${step}: the tests ended with ${code}`);
  return counts;
}

/** The suite against the installed daemon, and what that daemon leaves. */
async function critest(): Promise<PartResult> {
  const registry = await startRegistry(join(project, ".cache/registry"));
  const { focus, skip, binary, driver, handler } = options.critest;
  const target = join(RESULTS, "critest.result.json");
  try {
    await writeInstalledSettings({
      registry: registry.host,
      upstreams: UPSTREAMS,
      more: `[runtime]\ncgroup_driver = ${JSON.stringify(driver)}\n${handler === undefined ? "" : await defaultHandler(handler)}`,
    });
    await succeed("dpkg", "-i", packagePath);
    await succeed("systemctl", "restart", "gantryd.service");
    await program("critest", [
      ...["test/critest/run.ts", "--endpoint", INSTALLED_ENDPOINT, "--output", target],
      ...["--nri-socket", INSTALLED_NRI_SOCKET],
      ...(focus === undefined ? [] : ["--focus", focus]),
      ...(skip === undefined ? [] : ["--skip", skip]),
      ...(handler === undefined ? [] : ["--handler", handler]),
      ...(binary === undefined ? [] : ["--binary", join(project, binary)]),
    ]);
    await cp(join(project, ".cache/critest"), join(RESULTS, "critest"), { recursive: true });
  } finally {
    await registry.stop();
    await writeFile(
      join(RESULTS, "gantryd.journal.log"),
      await succeed("journalctl", "-u", "gantryd.service", "--no-pager", "-o", "short-precise"),
    );
  }
  const result = JSON.parse(await readFile(target, "utf8")) as CritestResult;
  const left = await installedLeftovers();
  await removeInstalledSettings();
  await succeed("dpkg", "--purge", "gantry");
  const [only] = result.runs;
  if (!only) throw new Error("critest: no run");
  const failures = [...only.unexpected, ...only.leftovers, ...left.map((line) => `left behind: ${line}`)];
  const { passed, failed, skipped } = only.counts;
  // Those that the suite's table of exceptions covers count as skipped.
  return { passed, failed: failures.length, skipped: failed + skipped - only.unexpected.length, failures };
}

/** Settings after those of [runtime]. */
async function defaultHandler(name: string): Promise<string> {
  const program = (await debianPrograms()).get(name);
  if (program === undefined) throw new Error(`--handler ${name}: only runc and crun are known`);
  return `default_handler = ${JSON.stringify(name)}\n${handlerSettings(name, program)}`;
}
