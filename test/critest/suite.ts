/**
 * One run of the suite's program: its arguments, its environment, and where its reports are.
 *
 * In parallel the program starts ginkgo's command line, which starts the program again for each process and merges
 * their reports; it puts them where it was started, so their names are relative here.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { type CommandResult, runCommand } from "../harness/command.ts";
import { readReport, type SuiteReport } from "./report.ts";

/** Longer than any run; the suite has a limit of an hour itself. */
const PROGRAM_TIMEOUT_MS = 3_900_000;

export interface SuiteProgram {
  path: string;
  /** "v1.36.0", or what else it says of itself. */
  version: string;
  /** Its own flags, without dashes, as its help lists them: versions differ. Those of ginkgo are not among them. */
  flags: ReadonlySet<string>;
  /** Ginkgo's command line, for runs in parallel. */
  ginkgo: string;
}

export interface SuiteOptions {
  endpoint: string;
  focus?: string;
  skip?: string;
  parallel: number;
  /** Exec, attach and port forwarding over WebSocket instead of SPDY. */
  websocket: boolean;
  nriSocket?: string;
  /** The runtime handler that pods name. */
  handler?: string;
  /** The suite's benchmarks instead of its specs. */
  benchmark?: { parametersFile: string; outputDirectory: string };
  /** Further arguments. */
  more: readonly string[];
  /** The program's own temporary files. */
  scratch: string;
}

export async function suiteProgram(path: string, ginkgo: string): Promise<SuiteProgram> {
  const help = await runCommand(path, ["-h"]);
  const flags = new Set([...help.stderr.matchAll(/^ {2}-([a-z.-]+)/gm)].map(([, name = ""]) => name));
  if (!flags.has("runtime-endpoint")) throw new Error(`${path} is no critest: ${said(help)}`);
  const version = await runCommand(path, ["-version"]);
  return { path, flags, ginkgo, version: /critest version: (\S+)/.exec(version.stdout)?.[1] ?? "unknown" };
}

function said({ stdout, stderr }: CommandResult): string {
  return `${stdout}${stderr}`.slice(0, 1000);
}

/** @throws when the program has no such flag, as one that is left out would test something else. */
export function suiteArguments(program: SuiteProgram, options: SuiteOptions): string[] {
  const args: string[] = [];
  const flag = (name: string, value?: string): void => {
    if (!name.startsWith("ginkgo.") && !program.flags.has(name))
      throw new Error(`critest ${program.version} has no flag -${name}`);
    args.push(value === undefined ? `-${name}` : `-${name}=${value}`);
  };
  flag("runtime-endpoint", options.endpoint);
  flag("image-endpoint", options.endpoint);
  flag("ginkgo.json-report", "report.json");
  flag("ginkgo.junit-report", "junit.xml");
  flag("ginkgo.no-color");
  if (options.focus !== undefined) flag("ginkgo.focus", options.focus);
  if (options.skip !== undefined) flag("ginkgo.skip", options.skip);
  if (options.parallel > 1) flag("parallel", String(options.parallel));
  if (options.websocket)
    for (const name of ["websocket-exec", "websocket-attach", "websocket-portforward"]) flag(name);
  if (options.handler !== undefined) flag("runtime-handler", options.handler);
  // Versions before NRI's specs have none to be told.
  if (options.nriSocket !== undefined && program.flags.has("nri-socket"))
    flag("nri-socket", options.nriSocket);
  if (options.benchmark) {
    flag("benchmark");
    flag("benchmarking-params-file", options.benchmark.parametersFile);
    flag("benchmarking-output-dir", options.benchmark.outputDirectory);
  }
  return [...args, ...options.more];
}

/**
 * Runs it once and leaves report.json, junit.xml and output.txt in a directory.
 *
 * @throws when it ended without a report, or with one that tells of no failure though it failed.
 */
export async function runSuite(
  program: SuiteProgram,
  options: SuiteOptions,
  directory: string,
): Promise<SuiteReport> {
  const args = suiteArguments(program, options);
  const temporary = join(options.scratch, "tmp");
  await mkdir(temporary, { recursive: true });
  const path = [dirname(program.ginkgo), process.env["PATH"] ?? ""].join(delimiter);
  const child = spawn(program.path, args, {
    cwd: directory,
    env: { ...process.env, PATH: path, TMPDIR: temporary },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: PROGRAM_TIMEOUT_MS,
  });
  const output: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => output.push(chunk));
  await once(child, "close");
  const text = Buffer.concat(output).toString();
  await writeFile(join(directory, "output.txt"), text);
  const report = await readReport(join(directory, "report.json")).catch((error: unknown) => {
    throw new Error(`critest ended with ${child.signalCode ?? child.exitCode}: ${text.slice(-2000)}`, {
      cause: error,
    });
  });
  if (child.exitCode !== 0 && !report.specs.some(({ result }) => result === "failed"))
    throw new Error(`critest ended with ${child.signalCode ?? child.exitCode}, and no spec failed`);
  return report;
}
