/**
 * Resource use of pods: of the pod's cgroup, which the kubelet makes and which has the containers' in it, of the
 * interfaces of its network namespace, and of its containers.
 */
import { listPodSandboxes } from "./container-list.ts";
import { containerUsage, groupUsage, noStats } from "./container-stats.ts";
import type { ContainerEntry } from "./container-table.ts";
import { CpuRate } from "./cpu-rate.ts";
import type { EngineContext } from "./engine-context.ts";
import type { PodSandboxEntry } from "./pod-sandbox-table.ts";
import { podCgroupParent } from "./pod-paths.ts";
import { inPortions } from "./portions.ts";
import type { InterfaceCounters, PodInterfaces, PodStatsFilter, PodUsage } from "./resources.ts";
import { wallClockNs } from "./clock.ts";

const PODS_IN_PORTION = 16;
/** What the networks call the interface of a pod. */
const PRIMARY_INTERFACE = "eth0";

/** Of a pod that has been stopped: nothing, and no network. */
export async function podStats(context: EngineContext, id: string): Promise<PodUsage> {
  const entry = context.pods.get(id);
  const usage = await readPods(context, [entry]);
  return usage(entry, 0);
}

/** Of ready pods. */
export async function* listPodStats(
  context: EngineContext,
  filter: PodStatsFilter,
  signal: AbortSignal,
): AsyncGenerator<PodUsage[]> {
  const pods = readyPods(context, filter);
  yield* inPortions(pods, PODS_IN_PORTION, signal, await readPods(context, pods));
}

export function readyPods(context: EngineContext, filter: PodStatsFilter): PodSandboxEntry[] {
  return listPodSandboxes(context, { ...filter, state: "ready" }).map(({ id }) => context.pods.get(id));
}

export function runningContainers(context: EngineContext, { sandbox }: PodSandboxEntry): ContainerEntry[] {
  return context.containers.ofPod(sandbox.id).filter(({ container }) => container.state === "running");
}

/** Interfaces of a pod's own network namespace; undefined for the host's and for one that is gone. */
export async function podInterfaces(
  context: EngineContext,
  pods: readonly PodSandboxEntry[],
): Promise<(pod: PodSandboxEntry) => InterfaceCounters[] | undefined> {
  const own = pods.filter(({ sandbox }) => sandbox.netnsPath !== undefined);
  const counters = await context.usageProbe.interfaces(own.flatMap(({ sandbox }) => sandbox.netnsPath ?? []));
  const position = new Map(own.map((pod, index) => [pod, index]));
  return (pod) => {
    const index = position.get(pod);
    return index === undefined ? undefined : counters(index);
  };
}

/** Reads all that is to be known of the pods; the function takes it apart for one of them. */
async function readPods(
  context: EngineContext,
  pods: readonly PodSandboxEntry[],
): Promise<(pod: PodSandboxEntry, index: number) => PodUsage> {
  const members = pods.map((pod) => runningContainers(context, pod));
  const containers = members.flat();
  const position = new Map(containers.map((entry, index) => [entry, index]));
  const [readings, interfaces, layers] = await Promise.all([
    context.cgroups.readStats([
      ...pods.map(({ sandbox }) => podCgroupParent(context, sandbox)),
      ...containers.map(({ cgroupPath }) => cgroupPath),
    ]),
    podInterfaces(context, pods),
    context.layerWalks.sizes(containers),
  ]);
  return (pod, index) => {
    const usages = (members[index] ?? []).flatMap((entry) => {
      const at = position.get(entry) as number;
      const stats = readings.at(pods.length + at);
      // One that has exited meanwhile is left out.
      if (!stats || entry.container.state !== "running") return [];
      return containerUsage(context, entry, stats, layers[at]);
    });
    const usage: PodUsage = {
      sandbox: pod.sandbox,
      // The cgroup of a stopped pod may be that of the next attempt.
      ...groupUsage((pod.sandbox.state === "ready" ? readings.at(index) : undefined) ?? noStats()),
      processes: usages.reduce((sum, { processes }) => sum + processes, 0),
      containers: usages,
    };
    const rate = podRate(pod, usage);
    if (rate !== undefined) usage.cpuNanoCores = rate;
    const counters = interfaces(pod);
    if (counters) usage.network = podNetwork(counters);
    return usage;
  };
}

/** A pod's cgroup may be older than the pod, so its first rate is the sum of its containers'. */
function podRate(
  pod: PodSandboxEntry,
  { timestampNs, cpuUsageNs, containers }: PodUsage,
): bigint | undefined {
  if (pod.cpuRate) return pod.cpuRate.next(timestampNs, cpuUsageNs) ?? sumOfRates(containers);
  pod.cpuRate = new CpuRate(timestampNs, cpuUsageNs);
  return sumOfRates(containers);
}

function sumOfRates(containers: PodUsage["containers"]): bigint {
  return containers.reduce((sum, { cpuNanoCores }) => sum + (cpuNanoCores ?? 0n), 0n);
}

function podNetwork(counters: InterfaceCounters[]): PodInterfaces {
  const primary = counters.find(({ name }) => name === PRIMARY_INTERFACE) ?? counters[0];
  return {
    timestampNs: wallClockNs(),
    ...(primary && { primary }),
    others: counters.filter((each) => each !== primary),
  };
}
