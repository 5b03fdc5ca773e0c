/**
 * Resource use of pods: of the pod's cgroup, which the kubelet makes and which has the containers' in it, of the
 * interfaces of its network namespace, and of its containers.
 */
import { listPodSandboxes } from "./container-list.ts";
import { containerUsage, groupUsage, noStats } from "./container-stats.ts";
import type { ContainerEntry } from "./container-table.ts";
import { CpuRate } from "./cpu-rate.ts";
import type { EngineContext } from "./engine-context.ts";
import type { PodSandbox } from "./pod-sandbox.ts";
import type { PodSandboxEntry } from "./pod-sandbox-table.ts";
import { podCgroupPath } from "./pod-paths.ts";
import { inPortions } from "./portions.ts";
import type { InterfaceCounters, LayerUsage, PodInterfaces, PodStatsFilter, PodUsage } from "./resources.ts";
import { wallClockNs } from "./clock.ts";

const PODS_IN_PORTION = 32;
/** What the networks call the interface of a pod. */
const PRIMARY_INTERFACE = "eth0";

/** Of a pod that has been stopped: nothing, and no network. */
export async function podStats(context: EngineContext, id: string, signal: AbortSignal): Promise<PodUsage> {
  const entry = context.pods.get(id);
  const [usage] = await portionStats(context, [entry]);
  signal.throwIfAborted();
  return usage as PodUsage;
}

/** Of ready pods. */
export async function* listPodStats(
  context: EngineContext,
  filter: PodStatsFilter,
  signal: AbortSignal,
): AsyncGenerator<PodUsage[]> {
  const pods = readyPods(context, filter);
  // All at once, so that those never walked before are waited for once and not in each portion.
  await context.layerWalks.sizes(pods.flatMap((pod) => runningContainers(context, pod)));
  yield* inPortions(pods, PODS_IN_PORTION, signal, (portion) => portionStats(context, portion));
}

export function readyPods(context: EngineContext, filter: PodStatsFilter): PodSandboxEntry[] {
  return listPodSandboxes(context, { ...filter, state: "ready" }).map(({ id }) => context.pods.get(id));
}

/** The cgroup that holds those of the pod's containers. */
export function podGroup(context: EngineContext, { id, config }: PodSandbox): string {
  return config.cgroupParent || podCgroupPath(context, id);
}

export function runningContainers(context: EngineContext, { sandbox }: PodSandboxEntry): ContainerEntry[] {
  return context.containers.ofPod(sandbox.id).filter(({ container }) => container.state === "running");
}

/** Interfaces of each pod's own network namespace; undefined for the host's and for one that is gone. */
export async function podInterfaces(
  context: EngineContext,
  pods: readonly PodSandboxEntry[],
): Promise<(InterfaceCounters[] | undefined)[]> {
  const paths = pods.flatMap(({ sandbox }) => sandbox.netnsPath ?? []);
  const counters = await context.usageProbe.interfaces(paths);
  const byPath = new Map(paths.map((path, index) => [path, counters[index]]));
  return pods.map(({ sandbox }) => (sandbox.netnsPath ? byPath.get(sandbox.netnsPath) : undefined));
}

async function portionStats(context: EngineContext, pods: readonly PodSandboxEntry[]): Promise<PodUsage[]> {
  const members = pods.map((pod) => runningContainers(context, pod));
  const containers = members.flat();
  const paths = [
    ...pods.map((pod) => podGroup(context, pod.sandbox)),
    ...containers.map(({ cgroupPath }) => cgroupPath),
  ];
  const [readings, interfaces, layers] = await Promise.all([
    context.cgroups.readStats(paths),
    podInterfaces(context, pods),
    context.layerWalks.sizes(containers),
  ]);
  const position = new Map(containers.map((entry, index) => [entry, index]));
  return pods.map((pod, index) => {
    const usages = (members[index] ?? []).flatMap((entry) => {
      const at = position.get(entry) as number;
      const stats = readings[pods.length + at];
      return stats && entry.container.state === "running"
        ? containerUsage(context, entry, stats, layers[at] satisfies LayerUsage | undefined)
        : [];
    });
    const own = { ...(readings[index] ?? noStats()) };
    const usage: PodUsage = { sandbox: pod.sandbox, ...groupUsage(own), containers: usages };
    usage.processes = usages.reduce((sum, { processes }) => sum + processes, 0);
    const rate = podRate(pod, usage);
    if (rate !== undefined) usage.cpuNanoCores = rate;
    const counters = interfaces[index];
    if (counters) usage.network = podNetwork(counters);
    return usage;
  });
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
