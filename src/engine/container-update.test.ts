/** New limits for containers, on fake parts: what is written, what is recorded, and what a failure leaves. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { createEngine } from "./create-engine.ts";
import type { Engine } from "./engine.ts";
import { FakeParts } from "./fake-parts.ts";
import { type LinuxResources, NO_RESOURCES } from "./resources.ts";
import type { Resources } from "../oci/runtime-spec.ts";
import { containerConfig, podConfig } from "./sample-config.ts";

const never = new AbortController().signal;
const MiB = 1 << 20;
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

const some = (more: Partial<LinuxResources>): LinuxResources => ({ ...NO_RESOURCES, ...more });

async function container(resources?: LinuxResources): Promise<string> {
  const pod = await engine.runPodSandbox(podConfig(), "", never);
  return engine.createContainer(pod, containerConfig(resources && { resources }), never);
}
const recorded = (id: string): Partial<LinuxResources> =>
  Object.fromEntries(
    Object.entries(engine.container(id).resources).filter(
      ([name, value]) => !isDeepStrictEqual(value, NO_RESOURCES[name as keyof LinuxResources]),
    ),
  );
const specOf = (id: string): { linux: { resources: Resources }; process: { oomScoreAdj: number } } =>
  engine.verboseContainer(id)["runtimeSpec"] as ReturnType<typeof specOf>;

test("a created container gets its new limits in record and configuration, and starts with them", async () => {
  const id = await container(some({ cpuShares: 100, memoryLimitBytes: 32 * MiB, oomScoreAdj: 100 }));
  await engine.updateContainerResources(id, some({ memoryLimitBytes: 64 * MiB, oomScoreAdj: 200 }), never);
  assert.deepEqual(recorded(id), { cpuShares: 100, memoryLimitBytes: 64 * MiB, oomScoreAdj: 200 });
  const spec = specOf(id);
  assert.deepEqual(spec.linux.resources.memory, { limit: 64 * MiB, swap: 64 * MiB });
  assert.deepEqual(spec.linux.resources.cpu, { shares: 100 });
  assert.ok((spec.linux.resources.devices ?? []).length > 0, "device rules stay");
  assert.equal(spec.process.oomScoreAdj, 200);
  assert.deepEqual(parts.updates, [], "there is no cgroup yet");
  const unified = some({ cpuShares: 7, unified: { "memory.high": "1" } });
  await assert.rejects(engine.updateContainerResources(id, unified, never), { kind: "failed-precondition" });
  assert.equal(recorded(id).cpuShares, 100);
});

test("a running container: only what changes is written, and a later daemon knows it", async () => {
  const id = await container(some({ cpuShares: 100, cpusetCpus: "0" }));
  await engine.startContainer(id, never);
  await engine.updateContainerResources(id, some({ cpuQuotaUs: 5000, cpusetCpus: "1" }), never);
  assert.deepEqual(parts.updates, [{ cpu: { quota: 5000, cpus: "1" } }]);
  const expected = { cpuShares: 100, cpuQuotaUs: 5000, cpusetCpus: "1" };
  assert.deepEqual(recorded(id), expected);
  await engine.close();
  engine = await createEngine(parts.options());
  assert.deepEqual(recorded(id), expected);
  assert.deepEqual(specOf(id).linux.resources.cpu, { shares: 100, quota: 5000, cpus: "1" });
});

test("a new memory limit keeps the allowance of swap, and is not to be below what is in use", async () => {
  const update = async (old: Partial<LinuxResources>, change: Partial<LinuxResources>): Promise<unknown> => {
    const pod = await engine.runPodSandbox(podConfig(), "", never);
    const config = containerConfig({ resources: some(old), metadata: { name: "c", attempt: ++attempt } });
    const id = await engine.createContainer(pod, config, never);
    await engine.startContainer(id, never);
    await engine.updateContainerResources(id, some(change), never);
    const { memoryLimitBytes, memorySwapLimitBytes } = engine.container(id).resources;
    return [parts.updates.at(-1)?.memory, memoryLimitBytes, memorySwapLimitBytes];
  };
  let attempt = 0;
  const check = { checkBeforeUpdate: true };
  assert.deepEqual(await update({ memoryLimitBytes: 10 }, { memoryLimitBytes: 20 }), [
    { limit: 20, swap: 20, ...check },
    20,
    0,
  ]);
  const swapping = { memoryLimitBytes: 10, memorySwapLimitBytes: 15 };
  assert.deepEqual(await update(swapping, { memoryLimitBytes: 20 }), [
    { limit: 20, swap: 25, ...check },
    20,
    25,
  ]);
  assert.deepEqual(await update(swapping, { memorySwapLimitBytes: 30 }), [
    { limit: 10, swap: 30, ...check },
    10,
    30,
  ]);
  assert.deepEqual(await update(swapping, { memoryLimitBytes: -1 }), [
    { limit: -1, swap: -1, ...check },
    -1,
    -1,
  ]);
  assert.deepEqual(await update({ ...swapping, memorySwapLimitBytes: -1 }, { memoryLimitBytes: 20 }), [
    { limit: 20, swap: -1, ...check },
    20,
    -1,
  ]);
});

test("huge pages change by their size, files of v2 by their name", async () => {
  const page = (pageSize: string, limitBytes: number): LinuxResources["hugepageLimits"][0] => ({
    pageSize,
    limitBytes,
  });
  const id = await container(some({ hugepageLimits: [page("1GB", 0), page("2MB", 4 * MiB)] }));
  await engine.updateContainerResources(id, some({ hugepageLimits: [page("2MB", 0)] }), never);
  assert.deepEqual(recorded(id), { hugepageLimits: [page("1GB", 0), page("2MB", 0)] });
  assert.deepEqual(specOf(id).linux.resources.hugepageLimits, [
    { pageSize: "1GB", limit: 0 },
    { pageSize: "2MB", limit: 0 },
  ]);
});

test("a refused update, and one whose record cannot be written, change nothing", async () => {
  const options = parts.options();
  await engine.close();
  engine = await createEngine(options);
  const id = await container(some({ cpuShares: 100 }));
  await engine.startContainer(id, never);
  const spec = specOf(id);
  parts.asked.length = 0;
  parts.failAt = "update cgroup";
  await assert.rejects(engine.updateContainerResources(id, some({ cpuShares: 5 }), never), {
    kind: "unavailable",
  });
  assert.deepEqual(parts.asked, ["update cgroup"]);
  assert.deepEqual([recorded(id), specOf(id)], [{ cpuShares: 100 }, spec]);

  const { transaction } = options.store;
  options.store.transaction = () => {
    throw new Error("disk full");
  };
  await assert.rejects(engine.updateContainerResources(id, some({ cpuShares: 5 }), never), /disk full/);
  options.store.transaction = transaction;
  assert.deepEqual(parts.asked.slice(1), ["update cgroup", "restore cgroup"]);
  assert.deepEqual([recorded(id), specOf(id)], [{ cpuShares: 100 }, spec]);
});

test("only created and running containers are updated, one update after the other", async () => {
  const id = await container();
  await assert.rejects(engine.updateContainerResources("nobody", some({}), never), { kind: "not-found" });
  await engine.startContainer(id, never);
  const gate = Promise.withResolvers<void>();
  parts.pause = { step: "update cgroup", until: gate.promise };
  const both = [1, 2].map((cpuShares) =>
    engine.updateContainerResources(id, some({ cpuShares: cpuShares * 10 }), never),
  );
  const caller = new AbortController();
  const third = engine.updateContainerResources(id, some({ cpuShares: 30 }), caller.signal);
  caller.abort(new Error("gone"));
  await assert.rejects(third, /gone/);
  assert.equal(parts.asked.filter((step) => step === "update cgroup").length, 1);
  gate.resolve();
  await Promise.all(both);
  assert.deepEqual(recorded(id), { cpuShares: 20 });
  await engine.stopContainer(id, 0, never);
  await assert.rejects(engine.updateContainerResources(id, some({ cpuShares: 40 }), never), {
    kind: "failed-precondition",
  });
  assert.deepEqual(recorded(id), { cpuShares: 20 });
});

test("a pod's resources are remembered, each until it is told anew", async () => {
  const id = await engine.runPodSandbox(podConfig({ overhead: some({ cpuShares: 1 }) }), "", never);
  const told = (): unknown => {
    const { overhead, resources } = engine.verbosePodSandbox(id);
    return { overhead, resources };
  };
  assert.deepEqual(told(), { overhead: some({ cpuShares: 1 }), resources: undefined });
  await engine.updatePodSandboxResources(id, { resources: some({ cpuShares: 9 }) }, never);
  await engine.close();
  engine = await createEngine(parts.options());
  assert.deepEqual(told(), { overhead: some({ cpuShares: 1 }), resources: some({ cpuShares: 9 }) });
  assert.equal(
    await engine.runPodSandbox(podConfig({ overhead: some({ cpuShares: 1 }) }), "", never),
    id,
    "the repeated request is still the same one",
  );
  await assert.rejects(engine.updatePodSandboxResources("nobody", {}, never), { kind: "not-found" });
});
