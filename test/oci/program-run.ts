/**
 * One program of the suite with one runtime: in a mount and a PID namespace of its own, so that neither its mounts nor
 * its processes outlive it, with a directory for its temporary files, and with an end after a time. What it leaves is
 * told and removed.
 */
import { existsSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { runCommand } from "../harness/command.ts";
import type { ValidationPrograms } from "./programs.ts";
import { type RuntimeName, type RuntimeSubject, writeRuntimeScript } from "./runtime-subject.ts";

const TIMEOUT_MS = 120_000;

/** "nothing": it ended well without a word, and so has asserted nothing. */
export type Outcome = "pass" | "fail" | "nothing";

export interface ProgramRun {
  program: string;
  runtime: RuntimeName;
  outcome: Outcome;
  /** Lines of TAP. */
  ok: number;
  notOk: number;
  /** -1: it did not end in time. */
  code: number;
  /** Why it failed, a line each. */
  reasons: string[];
  leftovers: string[];
  durationMs: number;
  attempts: number;
}

/** Programs that say by their exit status alone whether the runtime is right. */
const SAY_BY_STATUS = new Set(["process_capabilities_fail"]);

const SCRIPT = `
cat /proc/self/mountinfo > "$1/mounts.before"
"$2"
echo $? > "$1/code"
cat /proc/self/mountinfo > "$1/mounts.after"
for process in /proc/[0-9]*; do
  [ "$process" = /proc/$$ ] || tr '\\0' ' ' < "$process/cmdline" 2> /dev/null && echo
done > "$1/processes"
`;

export async function runProgram(
  suite: ValidationPrograms,
  program: string,
  subject: RuntimeSubject,
): Promise<ProgramRun> {
  const scratch = await mkdtemp(join(tmpdir(), "gantry-oci-suite-"));
  try {
    const temporary = join(scratch, "tmp");
    await mkdir(temporary);
    const env = { ...process.env, RUNTIME: writeRuntimeScript(subject, scratch), TMPDIR: temporary };
    const namespaces = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    const shell = [
      "sh",
      "-c",
      `${subject.prepare}\n${SCRIPT}`,
      "sh",
      scratch,
      join(suite.directory, program),
    ];
    const begin = performance.now();
    const { stdout, stderr } = await runCommand("unshare", [...namespaces, ...shell], {
      env,
      cwd: suite.workDirectory,
      timeoutMs: TIMEOUT_MS,
    });
    const durationMs = Math.round(performance.now() - begin);
    const code = existsSync(join(scratch, "code")) ? Number(text(scratch, "code")) : -1;
    const leftovers = [...new Set([...found(scratch, temporary), ...removeCgroups(scratch)])];
    const common = { program, runtime: subject.name, code, leftovers, durationMs, attempts: 1 };
    return { ...common, ...judgeOutput(program, code, stdout, stderr) };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

export function judgeOutput(
  program: string,
  code: number,
  stdout: string,
  stderr: string,
): Pick<ProgramRun, "outcome" | "ok" | "notOk" | "reasons"> {
  const lines = stdout.split("\n");
  const bad = lines.filter((line) => line.startsWith("not ok"));
  const ok = lines.filter((line) => line.startsWith("ok")).length;
  const passed = code === 0 && bad.length === 0;
  const asserts = ok > 0 || SAY_BY_STATUS.has(program);
  const reasons = code === -1 ? ["it did not end"] : bad.length > 0 ? bad : [said(stderr)];
  return {
    outcome: passed ? (asserts ? "pass" : "nothing") : "fail",
    ok,
    notOk: bad.length,
    reasons: passed ? [] : reasons.slice(0, 3),
  };
}

/** The last line that tells more than the exit status. */
function said(stderr: string): string {
  const lines = stderr.split("\n").filter((line) => line !== "" && !line.startsWith("exit status"));
  return lines.at(-1) ?? "";
}

function text(scratch: string, name: string): string {
  return existsSync(join(scratch, name)) ? readFileSync(join(scratch, name), "utf8") : "";
}

function found(scratch: string, temporary: string): string[] {
  const lines = (name: string): string[] =>
    text(scratch, name)
      .split("\n")
      .filter((line) => line.trim() !== "");
  const before = new Set(lines("mounts.before"));
  const state = join(scratch, "state");
  return [
    ...lines("processes").map((line) => `process ${line.trim()}`),
    ...lines("mounts.after")
      .filter((line) => !before.has(line))
      .map((line) => `mount ${(line.split(" ")[4] ?? "").replace(temporary, "…")}`),
    ...(existsSync(state) ? readdirSync(state).map((id) => `container ${id}`) : []),
    ...readdirSync(temporary).map((name) => `file ${name.replace(/\d+$/, "…")}`),
  ];
}

/** Where the containers that were created may have had their control groups. Whatever was in them has been killed. */
function removeCgroups(scratch: string): string[] {
  const ids = new Set(
    text(scratch, "ids")
      .split("\n")
      .filter((id) => /^[0-9a-f-]{36}$/.test(id)),
  );
  const paths = new Set([...ids].flatMap((id) => [`/${id}`, `/gantry-oci/${id}`]));
  for (const name of readdirSync(join(scratch, "configs"))) {
    const config = JSON.parse(text(scratch, `configs/${name}`)) as { linux?: { cgroupsPath?: string } };
    if (config.linux?.cgroupsPath) paths.add(resolve("/", config.linux.cgroupsPath));
  }
  const roots = readdirSync("/sys/fs/cgroup").filter((name) => !name.includes("."));
  const left = new Set<string>();
  for (const path of paths) {
    for (const root of ["", ...roots]) {
      const directory = join("/sys/fs/cgroup", root, path);
      if (!existsSync(directory)) continue;
      left.add(`cgroup ${path}`);
      removeUpwards(directory, join("/sys/fs/cgroup", root));
    }
  }
  return [...left];
}

function removeUpwards(directory: string, root: string): void {
  try {
    for (let path = directory; path !== root; path = dirname(path)) rmdirSync(path);
  } catch {
    // Somebody else's are in it.
  }
}
