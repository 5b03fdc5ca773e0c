/** Resource limits, both ways. In the protocol as in the engine, zero and empty mean "not given". */
import type { LinuxResources } from "../engine/resources.ts";
import type {
  LinuxContainerResources,
  LinuxContainerResources__Output,
} from "./generated/runtime/v1/LinuxContainerResources.ts";
import { integer, nonEmpty, text } from "./request-field.ts";

/** -1 stands for "no limit" where the kernel has it so. */
export function linuxResources(resources: LinuxContainerResources__Output, field: string): LinuxResources {
  return {
    cpuPeriodUs: integer(resources.cpu_period, `${field}.cpu_period`, 0),
    cpuQuotaUs: integer(resources.cpu_quota, `${field}.cpu_quota`, -1),
    cpuShares: integer(resources.cpu_shares, `${field}.cpu_shares`, 0),
    memoryLimitBytes: integer(resources.memory_limit_in_bytes, `${field}.memory_limit_in_bytes`, -1),
    memorySwapLimitBytes: integer(
      resources.memory_swap_limit_in_bytes,
      `${field}.memory_swap_limit_in_bytes`,
      -1,
    ),
    oomScoreAdj: integer(resources.oom_score_adj, `${field}.oom_score_adj`, -1000, 1000),
    cpusetCpus: text(resources.cpuset_cpus, `${field}.cpuset_cpus`),
    cpusetMems: text(resources.cpuset_mems, `${field}.cpuset_mems`),
    hugepageLimits: resources.hugepage_limits.map(({ page_size: pageSize, limit }, index) => ({
      pageSize: nonEmpty(pageSize, `${field}.hugepage_limits[${index}].page_size`),
      limitBytes: integer(limit, `${field}.hugepage_limits[${index}].limit`, 0),
    })),
    unified: resources.unified,
  };
}

export function linuxResourcesMessage(resources: LinuxResources): LinuxContainerResources {
  return {
    cpu_period: resources.cpuPeriodUs,
    cpu_quota: resources.cpuQuotaUs,
    cpu_shares: resources.cpuShares,
    memory_limit_in_bytes: resources.memoryLimitBytes,
    memory_swap_limit_in_bytes: resources.memorySwapLimitBytes,
    oom_score_adj: resources.oomScoreAdj,
    cpuset_cpus: resources.cpusetCpus,
    cpuset_mems: resources.cpusetMems,
    hugepage_limits: resources.hugepageLimits.map(({ pageSize, limitBytes }) => ({
      page_size: pageSize,
      limit: limitBytes,
    })),
    unified: resources.unified,
  };
}
