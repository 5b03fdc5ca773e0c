/**
 * A container's configuration after the hooks changed it: checked as one from outside is, so that what cannot run is
 * refused when the container is created and not when it starts.
 */
import { GantryError, wrapError } from "../base/errors.ts";
import { withFollowedSources } from "../oci/bind-sources.ts";
import { parseSpec } from "../oci/config-check.ts";
import { stringifyExactJson } from "../oci/exact-json.ts";
import { permittedOomScore } from "../oci/oom-score.ts";
import type { Spec } from "../oci/runtime-spec.ts";
import { compileInit } from "./container-plan.ts";
import type { ContainerEntry } from "./container-table.ts";
import type { EngineContext } from "./engine-context.ts";
import type { AdjustedContainer } from "./lifecycle-hooks.ts";
import { podCgroupParent } from "./pod-paths.ts";
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
    const injected = withFollowedSources(await context.cdi.inject(adjusted.spec, devices));
    const spec = parseSpec(stringifyExactJson(injected), "adjusted configuration");
    permitOomScore(context, container.id, spec);
    compileInit(context, container, spec, { tasksFiles: [] });
    const path = spec.linux?.cgroupsPath;
    if (path !== undefined && path !== entry.cgroupPath) {
      checkCgroup(context, entry, path);
      entry.cgroupPath = path;
    }
    context.cgroups.load(entry.cgroupPath).check(spec.linux?.resources ?? {});
    container.resources = effectiveResources(spec, container.resources);
    return spec;
  } catch (error) {
    throw wrapError("adjusted by plugins", error);
  }
}

/**
 * The group is killed and removed with the container, so it must be nobody else's: one beside that which the container
 * would have had, not there yet, and with no other container's and no pod's in it.
 */
function checkCgroup(context: EngineContext, entry: ContainerEntry, path: string): void {
  const { cgroups } = context;
  const parent = podCgroupParent(context, context.pods.get(entry.container.podSandboxId).sandbox);
  const refuse = (reason: string): never => {
    throw new GantryError("invalid-argument", `control group ${JSON.stringify(path)} ${reason}`);
  };
  const name = path.slice(Math.max(path.lastIndexOf("/"), path.lastIndexOf(":")) + 1);
  if (
    !/^[A-Za-z0-9_.-]+$/.test(name) ||
    name === "." ||
    name === ".." ||
    cgroups.containerPath(parent, name) !== path
  )
    refuse(`is not a group in its pod's, ${JSON.stringify(parent)}`);
  const directory = cgroups.directoryPath(path);
  const others = [
    ...[...context.containers.all()].map(({ cgroupPath }) => cgroupPath),
    ...[...context.pods.all()].map(({ sandbox }) => podCgroupParent(context, sandbox)),
  ];
  const taken = others.some((other) => `${cgroups.directoryPath(other)}/`.startsWith(`${directory}/`));
  if (taken || cgroups.load(path).exists()) refuse("is another's");
}

/** As for a client's wish: what this daemon may not give must not fail the start. */
function permitOomScore(context: EngineContext, containerId: string, { process }: Spec): void {
  const asked = process?.oomScoreAdj;
  if (!process || asked === undefined) return;
  process.oomScoreAdj = permittedOomScore(asked);
  if (process.oomScoreAdj !== asked)
    context.log.info({ containerId, asked, given: process.oomScoreAdj }, "OOM score cannot be that low");
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
