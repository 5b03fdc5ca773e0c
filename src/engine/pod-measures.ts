/**
 * Everything that is counted of the running containers of all ready pods, for a front end's metrics. What the counters
 * are called there is the front end's matter.
 */
import type { EngineContext } from "./engine-context.ts";
import { podGroup, podInterfaces, readyPods, runningContainers } from "./pod-stats.ts";
import type { PodSandboxEntry } from "./pod-sandbox-table.ts";
import { inPortions } from "./portions.ts";
import type { ContainerMeasures, FilesystemCapacity, PodMeasures } from "./resources.ts";

const PODS_IN_PORTION = 16;

export async function* listPodMeasures(
  context: EngineContext,
  signal: AbortSignal,
): AsyncGenerator<PodMeasures[]> {
  const pods = readyPods(context, {});
  await context.layerWalks.sizes(pods.flatMap((pod) => runningContainers(context, pod)));
  const capacity = await context.usageProbe.capacity(context.snapshotter.directory);
  yield* inPortions(pods, PODS_IN_PORTION, signal, (portion) => measure(context, portion, capacity));
}

async function measure(
  context: EngineContext,
  pods: readonly PodSandboxEntry[],
  capacity: FilesystemCapacity,
): Promise<PodMeasures[]> {
  const containers = pods.flatMap((pod) => runningContainers(context, pod));
  const [readings, limits, interfaces, layers] = await Promise.all([
    context.cgroups.readDetails(containers.map(({ cgroupPath }) => cgroupPath)),
    // Of pid 0 there is none.
    context.usageProbe.openFilesLimits(containers.map(({ container }) => container.pid ?? 0)),
    podInterfaces(context, pods),
    context.layerWalks.sizes(containers),
  ]);
  const counted = await context.usageProbe.descriptors(readings.flatMap((each) => each?.processIds ?? []));
  let next = 0;
  const byPod = new Map<string, ContainerMeasures[]>();
  for (const [index, { container, cgroupPath }] of containers.entries()) {
    const counts = readings[index];
    if (!counts) continue;
    const own = counted.slice(next, (next += counts.processIds.length));
    if (container.state !== "running") continue;
    const openFilesLimit = limits[index];
    const layer = layers[index];
    const measures: ContainerMeasures = {
      container,
      cgroupPath,
      counts,
      deviceNames: counts.io.map(({ major, minor }) => context.usageProbe.deviceName(major, minor)),
      descriptors: own.reduce((sum, each) => sum + each.descriptors, 0),
      sockets: own.reduce((sum, each) => sum + each.sockets, 0),
      capacity,
      ...(openFilesLimit !== undefined && { openFilesLimit }),
      ...(layer && { layer }),
    };
    const siblings = byPod.get(container.podSandboxId);
    if (siblings) siblings.push(measures);
    else byPod.set(container.podSandboxId, [measures]);
  }
  return pods.map(({ sandbox }, index) => {
    const counters = interfaces[index];
    return {
      sandbox,
      cgroupPath: podGroup(context, sandbox),
      containers: byPod.get(sandbox.id) ?? [],
      ...(counters && { interfaces: counters }),
    };
  });
}
