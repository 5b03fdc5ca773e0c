/** Limits as the CRI states them to the OCI's resources; used at creation and for an update. */
import type { Resources } from "./runtime-spec.ts";
import type { ResourceLimits } from "./spec-input.ts";

/**
 * Without a swap limit the memory limit bounds memory and swap together, so that a container swaps only when
 * it was asked for. Devices are not part of it.
 */
export function resourcesFromLimits(limits: ResourceLimits): Resources {
  const resources: Resources = {};
  const cpu: NonNullable<Resources["cpu"]> = {};
  if (limits.cpuShares) cpu.shares = limits.cpuShares;
  if (limits.cpuQuotaUs) cpu.quota = limits.cpuQuotaUs;
  if (limits.cpuPeriodUs) cpu.period = limits.cpuPeriodUs;
  if (limits.cpusetCpus) cpu.cpus = limits.cpusetCpus;
  if (limits.cpusetMems) cpu.mems = limits.cpusetMems;
  if (Object.keys(cpu).length > 0) resources.cpu = cpu;
  const memory: NonNullable<Resources["memory"]> = {};
  if (limits.memoryLimitBytes) {
    memory.limit = limits.memoryLimitBytes;
    memory.swap = limits.memoryLimitBytes;
  }
  if (limits.memorySwapLimitBytes) memory.swap = limits.memorySwapLimitBytes;
  if (Object.keys(memory).length > 0) resources.memory = memory;
  if (limits.hugepageLimits.length > 0) {
    resources.hugepageLimits = limits.hugepageLimits.map(({ pageSize, limitBytes }) => ({
      pageSize,
      limit: limitBytes,
    }));
  }
  if (Object.keys(limits.unified).length > 0) resources.unified = limits.unified;
  return resources;
}

/**
 * The limits after a change. What the change does not give stays. Huge pages count by page size, `unified` by file.
 *
 * A new limit of memory without one of memory and swap leaves the allowance of swap beside it as it was: on v1 the
 * two are one file's number, which would else forbid to raise the one and loosen swap when the other is lowered.
 */
export function changedLimits(old: ResourceLimits, change: ResourceLimits): ResourceLimits {
  const sizes = new Set(change.hugepageLimits.map(({ pageSize }) => pageSize));
  return {
    cpuPeriodUs: change.cpuPeriodUs || old.cpuPeriodUs,
    cpuQuotaUs: change.cpuQuotaUs || old.cpuQuotaUs,
    cpuShares: change.cpuShares || old.cpuShares,
    memoryLimitBytes: change.memoryLimitBytes || old.memoryLimitBytes,
    memorySwapLimitBytes: change.memorySwapLimitBytes || keptSwap(old, change.memoryLimitBytes),
    oomScoreAdj: change.oomScoreAdj || old.oomScoreAdj,
    cpusetCpus: change.cpusetCpus || old.cpusetCpus,
    cpusetMems: change.cpusetMems || old.cpusetMems,
    hugepageLimits: [
      ...old.hugepageLimits.filter(({ pageSize }) => !sizes.has(pageSize)),
      ...change.hugepageLimits,
    ],
    unified: { ...old.unified, ...change.unified },
  };
}

function keptSwap(old: ResourceLimits, memoryLimitBytes: number): number {
  const { memorySwapLimitBytes: both, memoryLimitBytes: memory } = old;
  if (!memoryLimitBytes || both <= 0) return both;
  if (memoryLimitBytes < 0 || memory <= 0) return Math.min(memoryLimitBytes, 0);
  return memoryLimitBytes + Math.max(0, both - memory);
}

/**
 * What is to be written for a change: its own limits, with both of memory's where one changes.
 * @param changed what changedLimits gives for it.
 */
export function resourcesOfChange(changed: ResourceLimits, change: ResourceLimits): Resources {
  const memory = change.memoryLimitBytes || change.memorySwapLimitBytes;
  return resourcesFromLimits({
    ...change,
    memoryLimitBytes: memory ? changed.memoryLimitBytes : 0,
    memorySwapLimitBytes: memory ? changed.memorySwapLimitBytes : 0,
  });
}

/** Resources with those of a change put over them. */
export function changedResources(old: Resources, change: Resources): Resources {
  const { cpu, memory, hugepageLimits, unified, ...others } = change;
  const changed: Resources = { ...old, ...others };
  if (cpu) changed.cpu = { ...old.cpu, ...cpu };
  if (memory) changed.memory = { ...old.memory, ...memory };
  if (unified) changed.unified = { ...old.unified, ...unified };
  if (hugepageLimits) {
    const sizes = new Set(hugepageLimits.map(({ pageSize }) => pageSize));
    const kept = (old.hugepageLimits ?? []).filter(({ pageSize }) => !sizes.has(pageSize));
    changed.hugepageLimits = [...kept, ...hugepageLimits];
  }
  return changed;
}
