/**
 * The benchmark: the same work against one or two CRI sockets, in turn, in one run.
 *
 *   npm run bench -- [--against containerd | --endpoint NAME=unix:///SOCKET --pid PID] [--rounds N] [--pods N] [--polled N]
 *                    [--pull N] [--only TEXT] [--json FILE]
 *
 *   npm run bench -- --oci [--rounds N] [--json FILE]      OCI bundles instead (oci.ts)
 *
 * Without --endpoint it starts a gantryd of its own, and with --against Debian's containerd beside it. What cannot be
 * compared across machines is compared within the run: read the ratios. Results are printed as a table, and written
 * as JSON with every single value.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { cpus, release, tmpdir, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { TestDaemon } from "../test/harness/daemon.ts";
import { pushFixtureImages } from "../test/harness/fixture-images.ts";
import { startRegistry } from "../test/harness/registry.ts";
import { startContainerd } from "./containerd.ts";
import { criClient } from "../src/cri/client.ts";
import { MANY_FILE_IMAGE, pushManyFileImage } from "./many-file-image.ts";
import { BENCH_IMAGE, type BenchNetwork } from "./pod.ts";
import { markdownTable } from "./table.ts";
import { polledNode } from "./stats.ts";
import { eightAtOnce, manyPods, type Measures, podLife, pull, type Runtime } from "./work.ts";

/** In the names of what is measured with the same CNI plugins for all. */
const SAME_PLUGINS = "same CNI plugins";

const { values } = parseArgs({
  options: {
    against: { type: "string" },
    endpoint: { type: "string" },
    pid: { type: "string" },
    rounds: { type: "string", default: "30" },
    pods: { type: "string", default: "50" },
    polled: { type: "string", default: "250" },
    pull: { type: "string", default: "3" },
    oci: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    json: { type: "string", default: ".cache/bench/result.json" },
  },
});
const rounds = Number(values.rounds);
const pods = Number(values.pods);
const pulls = Number(values.pull);
if (values.oci) {
  const { benchmarkBundles } = await import("./oci.ts");
  await benchmarkBundles(rounds, values.json);
  process.exit();
}
const cache = join(import.meta.dirname, "../.cache/bench");

const scratch = await mkdtemp(join(tmpdir(), "gantry-bench-"));
const registry = await startRegistry(join(scratch, "registry"));
const mirrors = { "registry.k8s.io": registry.host };
const stops: (() => Promise<void>)[] = [registry.stop, () => rm(scratch, { recursive: true, force: true })];
const runtimes: { runtime: Runtime; endpoint: string; measures: Measures; version: string }[] = [];

try {
  await pushFixtureImages(registry.host, () => undefined);
  if (pulls > 0) await pushManyFileImage(registry.host, cache);
  await addRuntimes();
  for (const { runtime } of runtimes) await runtime.client.PullImage({ image: { image: BENCH_IMAGE } });
  await measure();
  await report();
} finally {
  for (const { runtime } of runtimes) runtime.client.close();
  for (const stop of stops.reverse()) await stop();
}

async function addRuntimes(): Promise<void> {
  if (values.endpoint === undefined) {
    const daemon = await TestDaemon.start({ mirrors });
    stops.push(() => daemon.remove());
    await add("gantry", daemon.endpoint, daemon.pid, "");
  } else {
    const [name = "", endpoint = ""] = values.endpoint.split(/=(.*)/s);
    await add(name, endpoint, Number(values.pid ?? -1), "/bench");
  }
  if (values.against === "containerd") {
    const containerd = await startContainerd(mirrors, "10.199.0.0/16");
    stops.push(containerd.stop);
    await add("containerd", containerd.endpoint, containerd.pid, "/bench-containerd");
  }
}

async function add(name: string, endpoint: string, daemonPid: number, cgroupParent: string): Promise<void> {
  const client = criClient(endpoint);
  const { runtime_version: version } = await client.Version({});
  runtimes.push({ runtime: { name, client, daemonPid, cgroupParent }, endpoint, measures: {}, version });
}

async function measure(): Promise<void> {
  const wanted = (name: string): boolean => name.includes(values.only);
  for (const network of ["host", "pod"] as const)
    if (wanted(`pod start, ${network}`)) await podLives(runtimes, network, `${network} network`);
  if (wanted(`pod start, ${SAME_PLUGINS}`)) await withPlugins();
  if (wanted("8 at once"))
    for (const { runtime, measures } of runtimes) await eightAtOnce(runtime, Math.ceil(rounds / 3), measures);
  if (wanted("memory")) for (const { runtime, measures } of runtimes) await manyPods(runtime, pods, measures);
  if (wanted("stats"))
    for (const { runtime, measures, endpoint } of runtimes)
      await polledNode(runtime, endpoint, Number(values.polled), measures);
  if (wanted("pull"))
    for (const { runtime, measures } of runtimes)
      await pull(runtime, `registry.k8s.io/${MANY_FILE_IMAGE}`, pulls, measures);
}

async function podLives(among: typeof runtimes, network: BenchNetwork, label: string): Promise<void> {
  // The first rounds warm caches and compilers, and do not count.
  for (let round = -3; round < rounds; round++)
    for (const { runtime, measures } of among)
      await podLife(runtime, network, label, round < 0 ? {} : measures);
}

/** The pod networks of both runtimes by the plugins that containerd has: for that a gantryd of its own. */
async function withPlugins(): Promise<void> {
  if (values.endpoint !== undefined) return;
  const daemon = await TestDaemon.start({ mirrors, network: "cni" });
  const client = criClient(daemon.endpoint);
  try {
    await client.PullImage({ image: { image: BENCH_IMAGE } });
    const runtime = { name: "gantry", client, daemonPid: daemon.pid, cgroupParent: "" };
    const [own, ...others] = runtimes;
    if (own) await podLives([{ ...own, runtime }, ...others], "pod", SAME_PLUGINS);
  } finally {
    client.close();
    await daemon.remove();
  }
}

async function report(): Promise<void> {
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? "processor"}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}`;
  const columns = runtimes.map(({ runtime, measures, version }) => ({
    name: `${runtime.name} ${version}`,
    measures,
  }));
  console.log(`${new Date().toISOString().slice(0, 10)}, ${machine}\n`);
  console.log(markdownTable(columns));
  await mkdir(dirname(values.json), { recursive: true });
  await writeFile(
    values.json,
    JSON.stringify({ date: new Date().toISOString(), machine, runtimes: columns }, null, 1),
  );
}
