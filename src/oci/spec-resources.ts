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
