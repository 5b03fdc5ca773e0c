/** The whole suite with several runtimes: in lanes, as most of the time is the suite's own waiting. */
import { RACE_ATTEMPTS, RACES } from "./expected.ts";
import { type ProgramRun, runProgram } from "./program-run.ts";
import type { ValidationPrograms } from "./programs.ts";
import type { RuntimeSubject } from "./runtime-subject.ts";

const LANES = 3;

/** All of these name the same control groups: one of them at a time. */
const NAMES_A_CGROUP = /^linux_cgroups_|^delete_(only_create_)?resources$/;

/** Programs that wait for ten seconds and more; begun first. */
const SLOW = ["delete", "kill", "pidfile"];

/** Results by program and runtime; `told` is called as each is there. */
export async function runSuite(
  suite: ValidationPrograms,
  programs: readonly string[],
  subjects: readonly RuntimeSubject[],
  told: (run: ProgramRun) => void = () => undefined,
): Promise<ProgramRun[]> {
  const runs: ProgramRun[] = [];
  const jobs = subjects.flatMap((subject) => programs.map((program) => ({ program, subject })));
  const slow = ({ program }: { program: string }): number => Number(SLOW.includes(program));
  const grouped = jobs.filter(({ program }) => NAMES_A_CGROUP.test(program));
  const others = jobs
    .filter(({ program }) => !NAMES_A_CGROUP.test(program))
    .toSorted((a, b) => slow(b) - slow(a));
  const lane = async (queue: typeof jobs): Promise<void> => {
    for (let job = queue.shift(); job; job = queue.shift()) {
      const run = await runOften(suite, job.program, job.subject);
      runs.push(run);
      told(run);
    }
  };
  await Promise.all([lane(grouped), ...Array.from({ length: LANES }, () => lane(others))]);
  return runs;
}

async function runOften(
  suite: ValidationPrograms,
  program: string,
  subject: RuntimeSubject,
): Promise<ProgramRun> {
  const most = RACES.has(program) ? RACE_ATTEMPTS : 1;
  for (let attempts = 1; ; attempts++) {
    const run = await runProgram(suite, program, subject);
    if (run.outcome !== "fail" || attempts === most) return { ...run, attempts };
  }
}
