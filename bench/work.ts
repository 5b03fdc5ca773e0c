/**
 * The work that is measured. Each piece makes what it needs, gives its measured values, and leaves nothing.
 * Times are in milliseconds.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { CriClient } from "../src/cri/client.ts";
import { growth, memoryByProcess } from "./memory.ts";
import { type BenchNetwork, type BenchPod, removePod, startPod } from "./pod.ts";

const SETTLE_MS = 10_000;

export interface Runtime {
  name: string;
  client: CriClient;
  daemonPid: number;
  cgroupParent: string;
}

/** Values by the name of what was measured: "pod start, host network". */
export type Measures = Record<string, number[]>;

export async function timed(measures: Measures, name: string, work: () => Promise<unknown>): Promise<void> {
  const start = performance.now();
  await work();
  (measures[name] ??= []).push(performance.now() - start);
}

/** One pod's whole life. @param label of the network, in the names of the measures. */
export async function podLife(
  runtime: Runtime,
  network: BenchNetwork,
  label: string,
  measures: Measures,
): Promise<void> {
  const { client } = runtime;
  let pod: BenchPod | undefined;
  await timed(measures, `pod start, ${label}`, async () => {
    pod = await startPod(client, network, runtime.cgroupParent);
  });
  if (!pod) return;
  const { containerId, podSandboxId } = pod;
  for (let n = 0; n < 3; n++)
    await timed(measures, "ExecSync of true", () =>
      client.ExecSync({ container_id: containerId, cmd: ["true"], timeout: 10 }),
    );
  await timed(measures, "StopContainer, timeout 0", () =>
    client.StopContainer({ container_id: containerId, timeout: 0 }),
  );
  await timed(measures, "RemoveContainer", () => client.RemoveContainer({ container_id: containerId }));
  await timed(measures, `StopPodSandbox, ${label}`, () =>
    client.StopPodSandbox({ pod_sandbox_id: podSandboxId }),
  );
  await timed(measures, `RemovePodSandbox, ${label}`, () =>
    client.RemovePodSandbox({ pod_sandbox_id: podSandboxId }),
  );
}

/** Rounds of eight pods started at once; the rate over the rounds. */
export async function eightAtOnce(runtime: Runtime, rounds: number, measures: Measures): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    const pods = await Promise.all(
      Array.from({ length: 8 }, () => startPod(runtime.client, "pod", runtime.cgroupParent)),
    );
    (measures["8 at once, pod network"] ??= []).push(8000 / (performance.now() - start));
    for (const pod of pods) await removePod(runtime.client, pod);
  }
}

/** Memory for each further pod, and the cost of asking for the stats of all. */
export async function manyPods(runtime: Runtime, count: number, measures: Measures): Promise<void> {
  const except = new Set(["sleep"]);
  const pods: BenchPod[] = [];
  try {
    // The first pod pays for what is loaded once.
    pods.push(await startPod(runtime.client, "host", runtime.cgroupParent));
    const before = await settledMemory(except);
    for (let n = 0; n < count; n++) pods.push(await startPod(runtime.client, "host", runtime.cgroupParent));
    const after = await settledMemory(except);
    const { daemonPid } = runtime;
    measures["memory for each further pod"] = [growth(before, after, daemonPid) / count / 1024];
    measures["memory of its helper processes"] = [growth(before, after, -1) / count / 1024];
    measures[`memory of the daemon with ${count} pods`] = [(after.get(daemonPid) ?? NaN) / 1024];
    for (let n = 0; n < 20; n++)
      await timed(measures, `ListContainerStats, ${count} containers`, () =>
        runtime.client.ListContainerStats({}),
      );
  } finally {
    for (const pod of pods) await removePod(runtime.client, pod);
  }
}

/** What is held once the garbage of the last calls has been collected. */
async function settledMemory(except: ReadonlySet<string>): Promise<Map<number, number>> {
  await sleep(SETTLE_MS);
  return memoryByProcess(except);
}

/** Pull and unpack, the image removed before each round. */
export async function pull(
  runtime: Runtime,
  image: string,
  rounds: number,
  measures: Measures,
): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    await runtime.client.RemoveImage({ image: { image } });
    await timed(measures, "pull of the many-file image", () =>
      runtime.client.PullImage({ image: { image } }),
    );
  }
  await runtime.client.RemoveImage({ image: { image } });
}
