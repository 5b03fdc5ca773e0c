/**
 * Resources in their three forms: the OCI's in a configuration, the engine's limits in which zero is "not given", and
 * NRI's, where every number has a wrapper.
 */
import { GantryError } from "../base/errors.ts";
import type { DeviceRule, ResourceChange, Resources } from "../engine/lifecycle-hooks.ts";
import { type LinuxResources, NO_RESOURCES } from "../engine/resources.ts";
import type { ResourcesIn, ResourcesMessage } from "./messages.ts";
import { integer, optional, wrap } from "./numbers.ts";

export function resourcesMessage(resources: Resources | undefined): ResourcesMessage {
  const { memory = {}, cpu = {}, hugepageLimits = [], unified = {}, devices = [], pids } = resources ?? {};
  return {
    memory: {
      limit: wrap(memory.limit) ?? null,
      reservation: wrap(memory.reservation) ?? null,
      swap: wrap(memory.swap) ?? null,
      kernel_tcp: wrap(memory.kernelTCP) ?? null,
      swappiness: wrap(memory.swappiness) ?? null,
      disable_oom_killer: wrap(memory.disableOOMKiller) ?? null,
    },
    cpu: {
      shares: wrap(cpu.shares) ?? null,
      quota: wrap(cpu.quota) ?? null,
      period: wrap(cpu.period) ?? null,
      realtime_runtime: wrap(cpu.realtimeRuntime) ?? null,
      realtime_period: wrap(cpu.realtimePeriod) ?? null,
      cpus: cpu.cpus ?? "",
      mems: cpu.mems ?? "",
    },
    hugepage_limits: hugepageLimits.map(({ pageSize, limit }) => ({ page_size: pageSize, limit })),
    unified,
    devices: devices.map(({ allow, type = "", major, minor, access = "" }) => ({
      allow,
      type,
      major: wrap(major) ?? null,
      minor: wrap(minor) ?? null,
      access,
    })),
    pids: pids ?? null,
  };
}

export function limitsMessage(limits: LinuxResources | undefined): ResourcesMessage | null {
  if (!limits) return null;
  const given = (value: number): { value: number } | null => (value === 0 ? null : { value });
  return {
    memory: { limit: given(limits.memoryLimitBytes), swap: given(limits.memorySwapLimitBytes) },
    cpu: {
      shares: given(limits.cpuShares),
      quota: given(limits.cpuQuotaUs),
      period: given(limits.cpuPeriodUs),
      cpus: limits.cpusetCpus,
      mems: limits.cpusetMems,
    },
    hugepage_limits: limits.hugepageLimits.map(({ pageSize, limitBytes }) => ({
      page_size: pageSize,
      limit: limitBytes,
    })),
    unified: limits.unified,
  };
}

/**
 * A configuration's resources with an adjustment over them. Kernel memory and `use_hierarchy` are left out: no
 * supported kernel has either. A memory limit without a swap limit bounds both together.
 * @throws invalid-argument; unimplemented for classes, which nothing here defines.
 */
export function adjustedResources(base: Resources, change: ResourcesIn): Resources {
  refuseClasses(change);
  const limit = optional(change.memory?.limit ?? null, "memory limit");
  const { cpu, memory } = change;
  const members = {
    memory: withGiven(base.memory ?? {}, {
      limit,
      reservation: optional(memory?.reservation ?? null, "memory reservation"),
      swap: optional(memory?.swap ?? null, "memory and swap limit") ?? limit,
      kernelTCP: optional(memory?.kernel_tcp ?? null, "TCP memory limit"),
      swappiness: optional(memory?.swappiness ?? null, "swappiness"),
      disableOOMKiller: memory?.disable_oom_killer?.value,
    }),
    cpu: withGiven(base.cpu ?? {}, {
      shares: optional(cpu?.shares ?? null, "CPU shares"),
      quota: optional(cpu?.quota ?? null, "CPU quota"),
      period: optional(cpu?.period ?? null, "CPU period"),
      realtimeRuntime: optional(cpu?.realtime_runtime ?? null, "realtime runtime"),
      realtimePeriod: optional(cpu?.realtime_period ?? null, "realtime period"),
      cpus: cpu?.cpus || undefined,
      mems: cpu?.mems || undefined,
    }),
    hugepageLimits: withPages(
      base.hugepageLimits ?? [],
      change.hugepage_limits.map(({ page_size: pageSize, limit: bytes }) => ({
        pageSize,
        limit: integer(bytes, `limit of ${pageSize} pages`),
      })),
    ),
    unified: { ...base.unified, ...change.unified },
    devices: [...(base.devices ?? []), ...change.devices.map(deviceRule)],
  };
  const given = Object.entries(members).filter(([, member]) => Object.keys(member).length > 0);
  return {
    ...base,
    ...(Object.fromEntries(given) as Partial<typeof members>),
    ...(change.pids && { pids: { limit: integer(change.pids.limit, "pids limit") } }),
  };
}

function deviceRule({ allow, type, major, minor, access }: ResourcesIn["devices"][0]): DeviceRule {
  return {
    allow,
    type: type || "a",
    access: access || "rwm",
    ...withGiven({}, { major: optional(major, "device"), minor: optional(minor, "device") }),
  };
}

/**
 * An update put over another change, or over none.
 * @throws invalid-argument; unimplemented for what a container that exists cannot be given.
 */
export function changeWith(
  change: ResourcesIn,
  base: ResourceChange = { limits: NO_RESOURCES, further: {} },
): ResourceChange {
  if (change.devices.length > 0)
    throw new GantryError("unimplemented", "update of device rules: not supported");
  const { cpu, memory, hugepageLimits, unified, pids } = adjustedResources({}, change);
  const { limit, swap, ...otherMemory } = memory ?? {};
  const { shares, quota, period, cpus, mems, ...otherCpu } = cpu ?? {};
  return {
    limits: withGiven(base.limits, {
      memoryLimitBytes: limit,
      // Without one of its own the engine keeps the allowance of swap.
      memorySwapLimitBytes: change.memory?.swap ? swap : undefined,
      cpuShares: shares,
      cpuQuotaUs: quota,
      cpuPeriodUs: period,
      cpusetCpus: cpus,
      cpusetMems: mems,
      hugepageLimits: withPages(
        base.limits.hugepageLimits,
        (hugepageLimits ?? []).map(({ pageSize, limit: limitBytes }) => ({ pageSize, limitBytes })),
      ),
      unified: { ...base.limits.unified, ...unified },
    }),
    further: {
      ...base.further,
      ...(Object.keys(otherMemory).length > 0 && { memory: { ...base.further.memory, ...otherMemory } }),
      ...(Object.keys(otherCpu).length > 0 && { cpu: { ...base.further.cpu, ...otherCpu } }),
      ...(pids && { pids }),
    },
  };
}

/** An empty class takes the class away, and here is none. */
function refuseClasses(change: ResourcesIn): void {
  if (change.blockio_class?.value)
    throw new GantryError(
      "unimplemented",
      `block I/O class ${JSON.stringify(change.blockio_class.value)}: no classes are defined`,
    );
  if (change.rdt_class?.value)
    throw new GantryError(
      "unimplemented",
      `RDT class ${JSON.stringify(change.rdt_class.value)}: no classes are defined`,
    );
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

function withGiven<B extends object, C extends object>(base: B, change: C): B & Given<C> {
  const given = Object.entries(change).filter(([, value]) => value !== undefined);
  return { ...base, ...(Object.fromEntries(given) as Given<C>) };
}

function withPages<T extends { pageSize: string }>(base: T[], change: T[]): T[] {
  const changed = new Set(change.map(({ pageSize }) => pageSize));
  return [...base.filter(({ pageSize }) => !changed.has(pageSize)), ...change];
}
