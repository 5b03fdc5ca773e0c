/**
 * A container's configuration after the hooks changed it: checked as one from outside is, so that what cannot run is
 * refused when the container is created and not when it starts.
 */
import { GantryError, wrapError } from "../base/errors.ts";
import { parseSpec } from "../oci/config-check.ts";
import { planForContainer } from "../oci/container-plan.ts";
import { stringifyExactJson } from "../oci/exact-json.ts";
import type { Spec } from "../oci/runtime-spec.ts";
import type { ContainerEntry } from "./container-table.ts";
import type { EngineContext } from "./engine-context.ts";
import { imageVolumeMounts } from "./image-volume.ts";
import type { AdjustedContainer } from "./lifecycle-hooks.ts";
import type { LinuxResources } from "./resources.ts";

/**
 * The configuration to be stored; the entry takes its cgroup and its resources from it.
 * @throws invalid-argument or unimplemented, naming what cannot be.
 */
export async function adjustedEntry(
  context: EngineContext,
  entry: ContainerEntry,
  adjusted: AdjustedContainer,
): Promise<Spec> {
  const { container } = entry;
  try {
    const devices = adjusted.cdiDevices.filter((name) => !container.config.cdiDevices.includes(name));
    const injected = await context.cdi.inject(adjusted.spec, devices);
    const spec = parseSpec(stringifyExactJson(injected), "adjusted configuration");
    planForContainer(spec, {
      rootfs: context.snapshotter.mount(container.id),
      cgroup: { tasksFiles: [] },
      images: imageVolumeMounts(context, container),
      gate: "none",
    });
    const path = spec.linux?.cgroupsPath;
    if (path !== undefined && path !== entry.cgroupPath) entry.cgroupPath = checkedCgroupPath(path);
    context.cgroups.load(entry.cgroupPath).check(spec.linux?.resources ?? {});
    container.resources = effectiveResources(spec, container.resources);
    return spec;
  } catch (error) {
    throw wrapError("adjusted by plugins", error);
  }
}

function checkedCgroupPath(path: string): string {
  if (!/^(\/[^/\0]+)+$/.test(path) || path.split("/").some((part) => part === "." || part === ".."))
    throw new GantryError(
      "invalid-argument",
      `control group ${JSON.stringify(path)} is not an absolute path`,
    );
  return path;
}

/** The limits of a configuration as they are asked for, over those that it does not name. */
function effectiveResources(spec: Spec, asked: LinuxResources): LinuxResources {
  const { cpu, memory, hugepageLimits, unified } = spec.linux?.resources ?? {};
  return {
    cpuPeriodUs: cpu?.period ?? asked.cpuPeriodUs,
    cpuQuotaUs: cpu?.quota ?? asked.cpuQuotaUs,
    cpuShares: cpu?.shares ?? asked.cpuShares,
    memoryLimitBytes: memory?.limit ?? asked.memoryLimitBytes,
    memorySwapLimitBytes: memory?.swap ?? asked.memorySwapLimitBytes,
    oomScoreAdj: spec.process?.oomScoreAdj ?? asked.oomScoreAdj,
    cpusetCpus: cpu?.cpus ?? asked.cpusetCpus,
    cpusetMems: cpu?.mems ?? asked.cpusetMems,
    hugepageLimits:
      hugepageLimits?.map(({ pageSize, limit }) => ({ pageSize, limitBytes: limit })) ?? asked.hugepageLimits,
    unified: unified ?? asked.unified,
  };
}
