/**
 * Runs the unmodified conformance suite against a gantryd of its own.
 *
 *   npm run critest -- [--focus REGEX] [--skip REGEX] [--parallel N] [--endpoint unix:///SOCKET] [--binary CRITEST]
 *                      [-- CRITEST ARGS]
 *
 * Starts a registry, pushes the fixture images, maps the registries that the suite names to it, runs the suite, and
 * prints each spec with its result, and then 'N passed, N failed, N skipped'. Results go to .cache/critest as JUnit
 * and JSON. With --endpoint another runtime is tested, which must reach the images by itself.
 * With --binary a critest of another version is run instead of the pinned one.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { criTools } from "../harness/cri-tools.ts";
import { TestDaemon } from "../harness/daemon.ts";
import { pushFixtureImages } from "../harness/fixture-images.ts";
import { leftoversAtRest } from "../harness/leftovers.ts";
import { startRegistry } from "../harness/registry.ts";
import { readReport, type SpecResult } from "./report.ts";

const UPSTREAMS = ["gcr.io", "registry.k8s.io", "k8s.gcr.io", "docker.io"];

const { values, positionals } = parseArgs({
  options: {
    focus: { type: "string" },
    skip: { type: "string" },
    parallel: { type: "string", default: "1" },
    endpoint: { type: "string" },
    binary: { type: "string" },
  },
  allowPositionals: true,
});

const tools = await criTools();
const results = join(import.meta.dirname, "../../.cache/critest");
await rm(results, { recursive: true, force: true });
await mkdir(results, { recursive: true });
const scratch = await mkdtemp(join(tmpdir(), "gantry-critest-"));
const registry = await startRegistry(join(scratch, "registry"));
let daemon: TestDaemon | undefined;
let failed = true;
try {
  await pushFixtureImages(registry.host, () => undefined);
  if (values.endpoint === undefined)
    daemon = await TestDaemon.start({
      plainHttpHosts: [registry.host],
      mirrors: Object.fromEntries(UPSTREAMS.map((upstream) => [upstream, registry.host])),
    });
  const endpoint = values.endpoint ?? daemon?.endpoint ?? "";
  await runSuite(endpoint);
  const specs = await readReport(join(results, "report.json"));
  print(specs);
  failed = specs.some((spec) => spec.result === "failed") || specs.every((spec) => spec.result === "skipped");
  if (daemon) {
    await daemon.stop();
    const left = await leftoversAtRest(daemon);
    for (const line of left) console.log(`left behind: ${line}`);
    if (left.length > 0) failed = true;
  }
} finally {
  if (daemon && failed) await writeFile(join(results, "gantryd.log"), daemon.log());
  await daemon?.remove();
  await registry.stop();
  await rm(scratch, { recursive: true, force: true });
}
process.exitCode = failed ? 1 : 0;

async function runSuite(endpoint: string): Promise<void> {
  const args = [
    "-runtime-endpoint",
    endpoint,
    "-image-endpoint",
    endpoint,
    `-ginkgo.json-report=${join(results, "report.json")}`,
    "-ginkgo.no-color",
    ...(values.focus === undefined ? [] : [`-ginkgo.focus=${values.focus}`]),
    ...(values.skip === undefined ? [] : [`-ginkgo.skip=${values.skip}`]),
    ...(values.parallel === "1" ? [] : [`-parallel=${values.parallel}`]),
    ...positionals,
  ];
  const child = spawn(values.binary ?? tools.critest, args, { cwd: results, stdio: ["ignore", "pipe", "pipe"] });
  const output: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => output.push(chunk));
  await once(child, "close");
  await writeFile(join(results, "output.txt"), Buffer.concat(output));
}

function print(specs: readonly SpecResult[]): void {
  for (const spec of specs) {
    if (spec.result === "filtered") continue;
    console.log(
      `${spec.result.padEnd(7)} ${spec.name}${spec.message ? `\n        ${spec.message.split("\n")[0]}` : ""}`,
    );
  }
  const count = (result: SpecResult["result"]): number =>
    specs.filter((spec) => spec.result === result).length;
  console.log(`${count("passed")} passed, ${count("failed")} failed, ${count("skipped")} skipped`);
}
