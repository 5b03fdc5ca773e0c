/**
 * Runs the unmodified conformance suite against a gantryd of its own, and prints each spec by name with its result.
 *
 *   npm run critest -- [--focus REGEX] [--skip REGEX] [--parallel N] [--repeat N] [--websocket] [--benchmark]
 *                      [--network embedded|cni] [--handler runc|crun] [--output FILE] [--binary CRITEST]
 *                      [--against containerd [--binary-name RUNTIME] | --endpoint unix:///SOCKET
 *                      [--nri-socket PATH]] [-- CRITEST ARGS]
 *
 * It starts a registry, pushes the fixture images, and maps the registries that the suite names to it. A run succeeds
 * when every spec passed that test/critest/expected.ts does not except, and when nothing of the daemon is left. The
 * results are .cache/critest/result.json, which --output copies, and for each run the suite's JUnit and JSON.
 *
 * --benchmark   the suite's own benchmarks; their values go to .cache/critest/RUN/benchmark
 * --network     cni: Debian's CNI plugins make the pods' network
 * --handler     Debian's runc or crun runs the containers, under Gantry's shims
 * --against     Debian's containerd, started for the run, instead of a gantryd
 * --binary-name the OCI runtime that containerd's shim calls, instead of runc
 * --endpoint    another runtime, which must reach the images by itself; --nri-socket is its socket for plugins
 * --binary      a critest of another version than the pinned one
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { criTools } from "../harness/cri-tools.ts";
import { pushFixtureImages } from "../harness/fixture-images.ts";
import { startRegistry } from "../harness/registry.ts";
import { BENCHMARK_PARAMETERS, benchmarkTable } from "./benchmark.ts";
import { judge } from "./expected.ts";
import { hostFacts } from "./host-facts.ts";
import { type CritestResult, type RunResult, runResult, runtimeVersion, writeResult } from "./result-file.ts";
import { startSubject, type Subject } from "./subject.ts";
import { runSuite, type SuiteOptions, suiteProgram } from "./suite.ts";
import { countsLine, judgementLines, specTable } from "./table.ts";

const { values, positionals } = parseArgs({
  options: {
    focus: { type: "string" },
    skip: { type: "string" },
    parallel: { type: "string", default: "1" },
    repeat: { type: "string", default: "1" },
    websocket: { type: "boolean", default: false },
    network: { type: "string", default: "embedded" },
    handler: { type: "string" },
    benchmark: { type: "boolean", default: false },
    output: { type: "string" },
    against: { type: "string" },
    "binary-name": { type: "string" },
    endpoint: { type: "string" },
    "nri-socket": { type: "string" },
    binary: { type: "string" },
  },
  allowPositionals: true,
});

if (values.against !== undefined && values.against !== "containerd")
  throw new Error(`--against ${values.against}: only containerd can be started`);
const parallel = count("parallel", values.parallel);
const repeat = count("repeat", values.repeat);
const results = join(import.meta.dirname, "../../.cache/critest");
const tools = await criTools();
const program = await suiteProgram(values.binary ?? tools.critest, tools.ginkgo);
const host = hostFacts();
const result: CritestResult = {
  suite: {
    version: values.binary === undefined ? tools.version : program.version,
    pinned: values.binary === undefined,
  },
  runtime: { name: "", version: "", apiVersion: "" },
  host,
  options: { ...values, ...(positionals.length > 0 ? { arguments: positionals.join(" ") } : {}) },
  runs: [],
  succeeded: false,
};

await rm(results, { recursive: true, force: true });
const scratch = await mkdtemp(join(tmpdir(), "gantry-critest-"));
const registry = values.endpoint === undefined ? await startRegistry(join(scratch, "registry")) : undefined;
try {
  if (registry) await pushFixtureImages(registry.host, () => undefined);
  for (let run = 1; run <= repeat; run++) {
    if (repeat > 1) console.log(`\nrun ${run} of ${repeat}`);
    const directory = join(results, String(run));
    await mkdir(join(directory, "benchmark"), { recursive: true });
    result.runs.push(await runOnce(directory));
  }
} finally {
  await registry?.stop();
  await rm(scratch, { recursive: true, force: true });
}
result.succeeded = result.runs.every(succeeded);
await writeResult(join(results, "result.json"), result);
if (values.output !== undefined) await writeResult(resolve(values.output), result);
process.exitCode = result.succeeded ? 0 : 1;

async function runOnce(directory: string): Promise<RunResult> {
  const { network, against, endpoint, handler } = values;
  const subject = await startSubject({
    network,
    against,
    binaryName: values["binary-name"],
    endpoint,
    nriSocket: values["nri-socket"],
    handler,
    registry: registry?.host ?? "",
  });
  let outcome: RunResult | undefined;
  let ended = false;
  try {
    result.runtime = await runtimeVersion(subject.endpoint);
    const report = await runSuite(program, await suiteOptions(subject, directory), directory);
    const judgement = judge(report.specs, host);
    ended = true;
    const left = await subject.end();
    outcome = runResult(report, judgement, left);
    const lines = [
      ...specTable(report.specs),
      ...(values.benchmark ? await benchmarkTable(join(directory, "benchmark")) : []),
      ...judgementLines(judgement),
      ...left.map((line) => `left behind: ${line}`),
      countsLine(report.specs),
    ];
    console.log(lines.join("\n"));
    return outcome;
  } finally {
    if (!ended) await subject.end();
    if (!(outcome && succeeded(outcome))) await subject.keepLog(directory);
    await subject.remove();
  }
}

async function suiteOptions({ endpoint, nriSocket }: Subject, directory: string): Promise<SuiteOptions> {
  const parametersFile = join(scratch, "benchmark.yaml");
  // JSON is YAML.
  await writeFile(parametersFile, JSON.stringify(BENCHMARK_PARAMETERS));
  return {
    endpoint,
    ...(values.focus === undefined ? {} : { focus: values.focus }),
    ...(values.skip === undefined ? {} : { skip: values.skip }),
    parallel,
    websocket: values.websocket,
    ...(nriSocket === undefined ? {} : { nriSocket }),
    ...(values.handler === undefined ? {} : { handler: values.handler }),
    ...(values.benchmark
      ? { benchmark: { parametersFile, outputDirectory: join(directory, "benchmark") } }
      : {}),
    more: positionals,
    scratch,
  };
}

function succeeded({ unexpected, leftovers, counts }: RunResult): boolean {
  return unexpected.length === 0 && leftovers.length === 0 && counts.passed > 0;
}

function count(option: string, text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text)) throw new Error(`--${option} ${text} is no count`);
  return Number(text);
}
