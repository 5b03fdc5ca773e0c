/**
 * For tests: the real shim with a launcher of its own (native/shim/test/launch_stub.c) in place of the executor, so
 * that what is tested is the shim alone; and a manager in a state directory that is removed at the end.
 * With GANTRY_TEST_SANITIZE=1 the shim is built with ASan and UBSan.
 */
import { execFileSync } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { patient } from "../../test/harness/patience.ts";
import { silentLogger } from "../base/logger.ts";
import { createShimManager } from "./shim-manager.ts";
import type { Shim, ShimExec, ShimManager, ShimStart } from "./shim.ts";

const native = join(import.meta.dirname, "../../native");
const SANITIZE = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
let built: string | undefined;

/** Path of the program, compiled once for each test process. */
function stubProgram(): string {
  if (built !== undefined) return built;
  const directory = mkdtempSync(join(tmpdir(), "gantry-stub-shim-"));
  process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
  built = join(directory, "gantry-shim");
  const sources = [
    ...globSync(join(native, "shim/*.c")),
    join(native, "executor/procfs.c"),
    join(native, "shim/test/launch_stub.c"),
  ];
  const mode = process.env["GANTRY_TEST_SANITIZE"] ? SANITIZE : ["-Os", "-static"];
  const short = ["-DATTACH_STALL_MS=2000", "-DVANISHED_CHECK_MS=100"];
  const include = `-I${join(native, "include")}`;
  execFileSync("cc", ["-std=gnu17", ...mode, ...short, include, "-o", built, ...sources]);
  return built;
}

export interface PlanLetters {
  terminal?: boolean;
  gate?: boolean;
  fail?: boolean;
  /** Hang in the launch while this file exists. */
  hangFile?: string;
  /** Die with the shim, as the executor's processes do. Default true. */
  dieWithShim?: boolean;
}

/** A plan for the stub. */
export function stubPlan(args: string[], letters: PlanLetters = {}): Uint8Array {
  const first = letters.fail ? "X" : letters.terminal ? "T" : letters.hangFile ? "H" : "-";
  const text = `${first}${letters.gate ? "G" : "-"}${letters.dieWithShim === false ? "-" : "P"}`;
  const all = letters.hangFile ? [letters.hangFile, ...args] : args;
  return Buffer.from(`${text}${all.map((arg) => `${arg}\0`).join("")}`);
}

export function shell(script: string, letters: PlanLetters = {}): Uint8Array {
  return stubPlan(["/bin/sh", "-c", script], letters);
}

export interface ShimFixture {
  manager: ShimManager;
  directory: string;
  program: string;
  log: (id: string) => string;
  /** Mounts a small tmpfs and returns its path. */
  disk: (size: string) => string;
  /** Starts a shell script with a log at log(id). */
  start: (id: string, script: string, more?: Partial<ShimStart>, signal?: AbortSignal) => Promise<Shim>;
}

/** What a start needs besides an id and a plan. */
export const START: Omit<ShimStart, "id" | "plan"> = {
  log: undefined,
  terminal: false,
  stdin: false,
  stdinOnce: false,
  memoryCgroupDirectory: undefined,
  shimCgroup: { tasksFiles: [] },
  startNow: true,
};

export const never: AbortSignal = new AbortController().signal;

/** A fixture for one test; its shims and containers are killed and its files removed when the test ends. */
export function shimFixture(t: TestContext): ShimFixture {
  const directory = mkdtempSync(join(tmpdir(), "gantry-shim-test-"));
  const program = stubProgram();
  const manager = createShimManager({ stateDirectory: directory, program, log: silentLogger });
  const log = (id: string): string => join(directory, `${id}.log`);
  const disks: string[] = [];
  const disk = (size: string): string => {
    const path = mkdtempSync(join(directory, "disk-"));
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", path]);
    disks.push(path);
    return path;
  };
  t.after(async () => {
    for (const id of await manager.list()) await manager.discard(id);
    for (const path of disks) execFileSync("umount", ["-l", path]);
    rmSync(directory, { recursive: true, force: true });
  });
  const start: ShimFixture["start"] = (id, script, more = {}, signal = never) => {
    const letters = { terminal: more.terminal ?? false, gate: more.startNow === false };
    const plan = shell(script, letters);
    return manager.start({ ...START, id, plan, log: { path: log(id) }, ...more }, signal);
  };
  return { manager, directory, program, log, disk, start };
}

export interface LogLine {
  time: string;
  stream: string;
  tag: string;
  /** latin1, so that every byte is one character. */
  text: string;
}

/** Reads a CRI log strictly: anything else than well-formed lines throws. */
export function readLog(path: string): LogLine[] {
  const content = readFileSync(path, "latin1");
  if (content !== "" && !content.endsWith("\n")) throw new Error("log does not end with a line feed");
  return content
    .split("\n")
    .slice(0, -1)
    .map((line) => {
      const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z) (stdout|stderr) ([FP]) ([^]*)$/.exec(line);
      if (!match) throw new Error(`malformed log line ${JSON.stringify(line.slice(0, 100))}`);
      return { time: match[1] ?? "", stream: match[2] ?? "", tag: match[3] ?? "", text: match[4] ?? "" };
    });
}

/** What one stream wrote, joined from its lines as a reader of the log does. */
export function joinLog(lines: LogLine[], stream: string): string {
  const own = lines.filter((line) => line.stream === stream);
  return own.map((line) => line.text + (line.tag === "F" ? "\n" : "")).join("");
}

/** Everything that a stream gives, as latin1. */
export async function collect(stream: NodeJS.ReadableStream | undefined): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream ?? []) chunks.push(chunk as unknown as Uint8Array);
  return Buffer.concat(chunks).toString("latin1");
}

/** Runs an exec to its end. */
export async function runExec(
  shim: Shim,
  plan: Uint8Array,
  input?: string,
): Promise<{ exitCode: number; signal: number; stdout: string; stderr: string }> {
  const options = { plan, terminal: false, stdin: input !== undefined, killOnDisconnect: true };
  const exec: ShimExec = await shim.exec(options, never);
  if (input !== undefined) exec.stdin?.end(input);
  const [stdout, stderr, exit] = await Promise.all([collect(exec.stdout), collect(exec.stderr), exec.wait()]);
  return { ...exit, stdout, stderr };
}

/** Polls until the condition holds. */
export async function eventually(
  what: string,
  condition: () => boolean,
  timeoutMs = patient(10_000),
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** True once a process has ended, also while nobody has reaped it. */
export function ended(pid: number): boolean {
  try {
    return /^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return true;
  }
}
