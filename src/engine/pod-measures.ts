/**
 * Everything that is counted of the running containers of all ready pods, for a front end's metrics. What the counters
 * are called there is the front end's matter.
 */
import type { CgroupDetails } from "../oci/cgroup.ts";
import type { ContainerEntry } from "./container-table.ts";
import type { EngineContext } from "./engine-context.ts";
import { podCgroupParent } from "./pod-paths.ts";
import { podInterfaces, readyPods, runningContainers } from "./pod-stats.ts";
import { inPortions } from "./portions.ts";
import type { ContainerMeasures, PodMeasures } from "./resources.ts";

const PODS_IN_PORTION = 16;

export async function* listPodMeasures(
  context: EngineContext,
  signal: AbortSignal,
): AsyncGenerator<PodMeasures[]> {
  const pods = readyPods(context, {});
  const members = pods.map((pod) => runningContainers(context, pod));
  const [interfaces, measured] = await Promise.all([
    podInterfaces(context, pods),
    readContainers(context, members.flat()),
  ]);
  yield* inPortions(pods, PODS_IN_PORTION, signal, (pod, index): PodMeasures => {
    const { sandbox } = pod;
    const counters = interfaces(pod);
    return {
      sandbox,
      cgroupPath: context.cgroups.directoryPath(podCgroupParent(context, sandbox)),
      containers: (members[index] ?? []).flatMap((entry) => measured(entry) ?? []),
      ...(counters && { interfaces: counters }),
    };
  });
}

/** Reads all of the containers; the function takes it apart for one, and gives undefined for one that has exited. */
async function readContainers(
  context: EngineContext,
  entries: readonly ContainerEntry[],
): Promise<(entry: ContainerEntry) => ContainerMeasures | undefined> {
  const { usageProbe } = context;
  const [readings, limits, layers, capacity] = await Promise.all([
    context.cgroups.readDetails(entries.map(({ cgroupPath }) => cgroupPath)),
    // Of pid 0 there is none.
    usageProbe.openFilesLimits(entries.map(({ container }) => container.pid ?? 0)),
    context.layerWalks.sizes(entries),
    usageProbe.capacity(context.snapshotter.directory),
  ]);
  const processes = entries.map((_, index) => readings.processIds(index));
  const counted = await usageProbe.descriptors(processes.flat());
  let next = 0;
  const own = processes.map(({ length }) => counted.slice(next, (next += length)));
  const position = new Map(entries.map((entry, index) => [entry, index]));
  return (entry) => {
    const { container, cgroupPath } = entry;
    const index = position.get(entry) as number;
    const counts: CgroupDetails | undefined = readings.at(index);
    if (!counts || container.state !== "running") return undefined;
    const openFilesLimit = limits[index];
    const layer = layers[index];
    return {
      container,
      cgroupPath: context.cgroups.directoryPath(cgroupPath),
      counts,
      deviceNames: counts.io.map(({ major, minor }) => usageProbe.deviceName(major, minor)),
      descriptors: (own[index] ?? []).reduce((sum, each) => sum + each.descriptors, 0),
      sockets: (own[index] ?? []).reduce((sum, each) => sum + each.sockets, 0),
      capacity,
      ...(openFilesLimit !== undefined && { openFilesLimit }),
      ...(layer && { layer }),
    };
  };
}
