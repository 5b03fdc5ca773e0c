/** Statistics of pods and containers, on counters that the test gives. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import type { CgroupDetails, CgroupStats } from "../oci/cgroup.ts";
import { wallClockNs } from "./clock.ts";
import { createEngine } from "./create-engine.ts";
import type { Engine } from "./engine.ts";
import { FakeParts } from "./fake-parts.ts";
import type { PodUsage } from "./resources.ts";
import { containerConfig, podConfig } from "./sample-config.ts";

const never = new AbortController().signal;
const SECOND = 1_000_000_000n;
let parts: FakeParts;
let engine: Engine;

beforeEach(async () => {
  parts = new FakeParts();
  engine = await createEngine(parts.options());
});
afterEach(async () => {
  await engine.close();
  parts.remove();
});

function counters(more: Partial<CgroupDetails>): CgroupStats {
  const all = {
    timestampNs: wallClockNs(),
    cpuUsageNs: 0n,
    memoryUsageBytes: 0,
    memoryWorkingSetBytes: 0,
    memoryRssBytes: 0,
    memoryPageFaults: 0,
    memoryMajorPageFaults: 0,
    swapUsageBytes: 0,
    pids: 0,
    processes: 0,
    io: [{ major: 8, minor: 0, readBytes: 1, writtenBytes: 2, reads: 3, writes: 4 }],
    ...more,
  };
  return all;
}

async function running(name = "a", network: "pod" | "node" = "pod"): Promise<{ pod: string; id: string }> {
  const config = podConfig({ metadata: { name, uid: name, namespace: "n", attempt: 0 }, labels: { name } });
  config.namespaces.network = network;
  if (network === "node") config.hostname = "";
  const pod = await engine.runPodSandbox(config, "", never);
  const id = await engine.createContainer(pod, containerConfig(), never);
  await engine.startContainer(id, never);
  return { pod, id };
}

async function all<Item>(portions: AsyncIterable<Item[]>): Promise<Item[]> {
  const items: Item[] = [];
  for await (const portion of portions) items.push(...portion);
  return items;
}

const list = (): Promise<PodUsage[]> => all(engine.listPodStats({}, never));

test("a pod has the counters of its cgroup, a container those of its own", async () => {
  const { pod, id } = await running();
  parts.counters = (path) =>
    path === `/test/${pod}/${id}`
      ? counters({ memoryWorkingSetBytes: 10, memoryLimitBytes: 30, processes: 2, pids: 9 })
      : path === `/test/${pod}`
        ? counters({ memoryWorkingSetBytes: 15, swapLimitBytes: 5, swapUsageBytes: 6, pids: 9 })
        : undefined;
  const [usage] = await list();
  assert.equal(usage?.sandbox.id, pod);
  assert.equal(usage?.memoryWorkingSetBytes, 15);
  assert.equal(usage?.memoryAvailableBytes, undefined);
  assert.equal(usage?.swapAvailableBytes, 0);
  assert.equal(usage?.processes, 2);
  assert.equal(usage?.network?.primary?.name, "eth0");
  assert.deepEqual(usage?.network?.others, []);
  const [container] = usage.containers;
  assert.equal(container?.container.id, id);
  assert.equal(container?.memoryAvailableBytes, 20);
  assert.deepEqual([container?.filesystem?.directory, container?.filesystem?.usedBytes], ["/fake", 4096]);
  assert.deepEqual(await all(engine.listPodStats({ labels: { name: "b" } }, never)), []);
});

test("processes in groups below a container's own are counted as tasks", async () => {
  const { id } = await running();
  parts.counters = () => counters({ processes: 0, pids: 7 });
  assert.equal((await engine.containerStats(id)).processes, 7);
});

test("a pod's first rate is the sum of its containers', then that of its cgroup", async () => {
  const { pod, id } = await running();
  const startNs = engine.container(id).startedAtNs;
  let [seconds, podNs, containerNs] = [10n, 500n * SECOND, 5n * SECOND];
  parts.counters = (path) =>
    counters({
      timestampNs: startNs + seconds * SECOND,
      cpuUsageNs: path === `/test/${pod}` ? podNs : containerNs,
    });
  assert.equal((await engine.podStats(pod)).cpuNanoCores, SECOND / 2n);
  [seconds, podNs, containerNs] = [20n, 520n * SECOND, 15n * SECOND];
  const usage = await engine.podStats(pod);
  assert.equal(usage.cpuNanoCores, 2n * SECOND);
  assert.equal(usage.containers[0]?.cpuNanoCores, SECOND);
});

test("on the host's network there is none; a cgroup that is not there uses nothing", async () => {
  const { pod } = await running("host", "node");
  const usage = await engine.podStats(pod);
  assert.equal(usage.network, undefined);
  assert.equal(usage.cpuUsageNs, 0n);
  assert.deepEqual(usage.containers, [], "the container's cgroup is gone: it has just exited");
});

test("what has stopped is in no list, and is answered without the next attempt's use", async () => {
  const { pod, id } = await running();
  parts.counters = () => counters({ memoryUsageBytes: 5 });
  await engine.stopPodSandbox(pod, never);
  assert.deepEqual(await list(), []);
  assert.deepEqual(await all(engine.listContainerStats({}, never)), []);
  const usage = await engine.podStats(pod);
  assert.equal(usage.memoryUsageBytes, 0);
  assert.equal(usage.network, undefined);
  assert.equal((await engine.containerStats(id)).memoryUsageBytes, 0);
  await assert.rejects(engine.podStats("f".repeat(64)), { kind: "not-found" });
});

test("lists come in portions, others are served between them, and an abort ends them", async () => {
  for (let n = 0; n < 40; n++) await running(`pod-${n}`);
  parts.counters = () => counters({});
  let turns = 0;
  const tick = (): NodeJS.Immediate => setImmediate(() => void (turns++, (ticking = tick())));
  let ticking = tick();
  const seen: number[] = [];
  for await (const portion of engine.listPodStats({}, never)) seen.push(portion.length, turns);
  clearImmediate(ticking);
  assert.equal(
    seen[0] === undefined ? 0 : seen.filter((_, index) => index % 2 === 0).reduce((a, b) => a + b),
    40,
  );
  assert.ok(Number(seen[3]) > Number(seen[1]), "a turn between the first two portions");

  const aborting = new AbortController();
  await assert.rejects(async () => {
    for await (const _ of engine.listPodMeasures(aborting.signal)) aborting.abort(new Error("gone"));
  }, /gone/);
});

test("measures name devices and add up descriptors; an exited container has none", async () => {
  const { pod, id } = await running();
  parts.counters = () => counters({ processes: 2 });
  const [measures] = await all(engine.listPodMeasures(never));
  assert.equal(measures?.cgroupPath, `/test/${pod}`);
  assert.equal(measures?.interfaces?.[0]?.rxBytes, 10);
  const [container] = measures.containers;
  assert.equal(container?.container.id, id);
  assert.deepEqual(container?.deviceNames, ["/dev/fake"]);
  assert.deepEqual([container?.descriptors, container?.sockets], [6, 2]);
  assert.equal(container?.layer?.usedBytes, 4096);
  assert.equal(container?.openFilesLimit, 1024);
  parts.counters = () => undefined;
  assert.deepEqual((await all(engine.listPodMeasures(never)))[0]?.containers, []);
});
