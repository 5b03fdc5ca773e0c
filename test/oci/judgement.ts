/** What a run shows: the table of programs by runtime, and what of it is not as it must be. */
import { KNOWN_FAILURES, RACES, REQUIRED } from "./expected.ts";
import type { ProgramRun } from "./program-run.ts";
import type { RuntimeName } from "./runtime-subject.ts";

const SUBJECT: RuntimeName = "gantry-oci";

/** A line for each thing that gantry-oci fails and must not. A race that is lost proves nothing. */
export function problemsOf(runs: readonly ProgramRun[]): string[] {
  const problems: string[] = [];
  for (const { program, reasons } of runs.filter(
    (run) => run.runtime === SUBJECT && run.outcome === "fail",
  )) {
    const better = runs.filter((run) => run.program === program && run.outcome === "pass");
    const reason = reasons[0] ?? "";
    if (REQUIRED.has(program)) problems.push(`${program} must pass: ${reason}`);
    else if (better.length > 0 && !RACES.has(program))
      problems.push(
        `${program} passes with ${better.map(({ runtime }) => runtime).join(" and ")}: ${reason}`,
      );
    else if (!(program in KNOWN_FAILURES) && !RACES.has(program))
      problems.push(`${program} fails and is no known failure: ${reason}`);
  }
  return problems;
}

export function table(runs: readonly ProgramRun[], runtimes: readonly RuntimeName[]): string[] {
  const programs = [...new Set(runs.map(({ program }) => program))].toSorted();
  const width = Math.max(...programs.map((name) => name.length), 9);
  const row = (first: string, cells: string[]): string =>
    [first.padEnd(width), ...cells.map((cell) => cell.padEnd(10))].join("  ").trimEnd();
  const cell = (program: string, runtime: RuntimeName): string => {
    const run = runs.find((candidate) => candidate.program === program && candidate.runtime === runtime);
    if (!run) return "";
    return `${run.outcome}${run.attempts > 1 ? ` (${run.attempts}×)` : ""}`;
  };
  const count = (runtime: RuntimeName, outcome: string): string =>
    String(runs.filter((run) => run.runtime === runtime && run.outcome === outcome).length);
  const lines = [row("program", [...runtimes])];
  for (const program of programs)
    lines.push(
      row(
        program,
        runtimes.map((runtime) => cell(program, runtime)),
      ),
    );
  lines.push("");
  for (const outcome of ["pass", "fail", "nothing"])
    lines.push(
      row(
        outcome,
        runtimes.map((runtime) => count(runtime, outcome)),
      ),
    );
  return lines;
}

/** Why gantry-oci fails what it fails, and what was left behind, by runtime and program. */
export function notes(runs: readonly ProgramRun[]): string[] {
  const ours = runs.filter((run) => run.runtime === SUBJECT && run.outcome === "fail");
  return [
    ...ours.map(
      ({ program, reasons }) => `fails: ${program}: ${KNOWN_FAILURES[program] ?? reasons[0] ?? ""}`,
    ),
    ...runs.flatMap(({ runtime, program, leftovers }) =>
      leftovers.map((what) => `left behind by ${program} with ${runtime}: ${what}`),
    ),
  ].toSorted();
}
