/**
 * Runs the validation programs of the OCI runtime-tools with gantry-oci, runc and crun, and prints one table.
 *
 *   npm run test:oci -- [--runtimes gantry-oci,runc,crun] [--focus REGEX] [--output FILE]
 *
 * "pass": the program ended with status 0 and said `ok` and never `not ok`; "nothing": it ended with 0 and said neither;
 * "(2×)": it is one of the races in the suite (test/oci/expected.ts), and was run so often. The exit status is 1 when
 * gantry-oci fails what another one passes, or anything else that test/oci/expected.ts does not know. The results are
 * .cache/oci/result.json, which --output copies.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { buildIsCurrent, bundle } from "../../scripts/build.ts";
import { installTools } from "../install-tools.ts";
import { notes, problemsOf, table } from "./judgement.ts";
import { validationPrograms } from "./programs.ts";
import { RUNTIME_NAMES, type RuntimeName, runtimeSubject } from "./runtime-subject.ts";
import { runSuite } from "./suite-run.ts";

const { values } = parseArgs({
  options: {
    runtimes: { type: "string", default: RUNTIME_NAMES.join(",") },
    focus: { type: "string", default: "" },
    output: { type: "string" },
  },
});

if (process.getuid?.() !== 0) throw new Error("the validation suite needs root");
const names = values.runtimes.split(",").map(runtimeName);
installTools({ go: "golang-go", busybox: "busybox-static", runc: "runc", crun: "crun" });
if (!buildIsCurrent()) await bundle();
const suite = await validationPrograms();
const subjects = names.map((name) => runtimeSubject(name));
const focus = new RegExp(values.focus);
const programs = suite.names.filter((name) => focus.test(name));
const runs = await runSuite(suite, programs, subjects, ({ program, runtime, outcome, durationMs }) =>
  console.error(`${runtime} ${program}: ${outcome} (${(durationMs / 1000).toFixed(1)} s)`),
);
const problems = problemsOf(runs);
const facts = subjects.map(({ name, version, notes: said }) => ({ name, version, notes: said }));
const result = { suite: suite.version, runtimes: facts, runs, problems, succeeded: problems.length === 0 };
const lines = [
  "",
  ...table(runs, names),
  "",
  `suite: runtime-tools ${suite.version}; ${facts.map(({ name, version }) => `${name} ${version}`).join(", ")}`,
  ...facts.flatMap(({ notes: said }) => said),
  ...notes(runs),
  ...problems.map((problem) => `problem: ${problem}`),
];
console.log(lines.join("\n"));
const paths = [join(import.meta.dirname, "../../.cache/oci/result.json")];
if (values.output !== undefined) paths.push(resolve(values.output));
for (const path of paths) {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `${JSON.stringify(result, undefined, 2)}\n`);
}
process.exitCode = problems.length === 0 ? 0 : 1;

function runtimeName(text: string): RuntimeName {
  const name = RUNTIME_NAMES.find((known) => known === text);
  if (!name) throw new Error(`--runtimes: ${text} is none of ${RUNTIME_NAMES.join(", ")}`);
  return name;
}
