/**
 * The cost of polling a full node: statistics and metrics of many pods, how long another call waits meanwhile, and whether
 * the daemon grows. Replies are taken as bytes: what a client's decoding costs is not the runtime's.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Client, credentials, status, type ServiceError } from "@grpc/grpc-js";
import { runtimeServiceDefinition } from "../src/cri/protocol.ts";
import { memoryByProcess } from "./memory.ts";
import { type BenchPod, removePod, startPod } from "./pod.ts";
import type { Measures, Runtime } from "./work.ts";

const LISTS = ["ListContainerStats", "ListPodSandboxStats", "ListPodSandboxMetrics"] as const;
const ROUNDS = 20;
const POLLS = 100;
/** A runtime that is slow is polled less often. */
const POLLING_MS = 30_000;

export async function polledNode(
  runtime: Runtime,
  endpoint: string,
  count: number,
  measures: Measures,
): Promise<void> {
  const client = new Client(endpoint, credentials.createInsecure(), {
    "grpc.max_receive_message_length": -1,
  });
  const pods: BenchPod[] = [];
  try {
    while (pods.length < count) pods.push(await startPod(runtime.client, "pod", runtime.cgroupParent));
    const served: string[] = [];
    for (const rpc of LISTS) {
      // The first one walks the writable layers.
      if (!(await serves(client, rpc))) continue;
      served.push(rpc);
      for (let n = 0; n < ROUNDS; n++) {
        const start = performance.now();
        await call(client, rpc);
        (measures[`${rpc}, ${count} pods`] ??= []).push(performance.now() - start);
      }
    }
    if (served.includes("ListPodSandboxMetrics"))
      measures["Version while metrics are listed"] = await waits(client, "ListPodSandboxMetrics");
    const poll = async (): Promise<void> => {
      const end = performance.now() + POLLING_MS;
      for (let n = 0; n < POLLS && performance.now() < end; n++)
        for (const rpc of served) await call(client, rpc);
    };
    await poll();
    measures[`memory of the daemon with ${count} pods, polled`] = [await daemonMemory(runtime)];
    await poll();
    measures["memory of it after as many polls more"] = [await daemonMemory(runtime)];
  } finally {
    client.close();
    for (const pod of pods) await removePod(runtime.client, pod);
  }
}

/** Milliseconds that another call takes while a list is being made. */
async function waits(client: Client, rpc: string): Promise<number[]> {
  const taken: number[] = [];
  for (let n = 0; n < ROUNDS; n++) {
    let listing = true;
    const list = call(client, rpc).finally(() => (listing = false));
    while (listing) {
      const start = performance.now();
      await call(client, "Version");
      taken.push(performance.now() - start);
    }
    await list;
  }
  return taken;
}

async function daemonMemory({ daemonPid }: Runtime): Promise<number> {
  await sleep(5000);
  return ((await memoryByProcess(new Set())).get(daemonPid) ?? NaN) / 1024;
}

async function serves(client: Client, rpc: string): Promise<boolean> {
  try {
    await call(client, rpc);
    return true;
  } catch (error) {
    if ((error as ServiceError).code === status.UNIMPLEMENTED) return false;
    // containerd 1.6 says so in words.
    if (/not implemented/.test((error as ServiceError).details)) return false;
    throw error;
  }
}

/** An empty request, its reply not decoded. */
async function call(client: Client, rpc: string): Promise<Buffer> {
  const { path } = runtimeServiceDefinition[rpc] as { path: string };
  const same = (bytes: Buffer): Buffer => bytes;
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, same, same, Buffer.alloc(0), (error, reply) => {
      if (error) reject(error);
      else resolve(reply ?? Buffer.alloc(0));
    });
  });
}
