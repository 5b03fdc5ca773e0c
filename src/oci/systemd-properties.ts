/**
 * The OCI's resources as properties of a unit, in the names of the host's version of control groups.
 *
 * The files of the group are written besides, and exactly; the properties tell systemd what stands there, so that it
 * writes the same when it applies its units anew (daemon-reload), and shows it. What it has no property for it leaves
 * alone.
 */
import { cpuWeightFromShares, ioWeightFromBlkio } from "./cgroup-v2-resources.ts";
import type { Resources } from "./runtime-spec.ts";
import { deviceProperties } from "./systemd-devices.ts";
import type { UnitProperty } from "./systemd-units.ts";

/** "No limit" as systemd has it: the largest number of 64 bits. */
const INFINITY = "18446744073709551615";
const number = (value: number | string): readonly ["t", string] => ["t", String(value)];
/** 0 and below mean none. */
const limit = (value: number): readonly ["t", string] => number(value > 0 ? value : INFINITY);

/** Properties of what the resources state, and of nothing else. */
export function resourceProperties(
  resources: Resources,
  version: "v1" | "v2",
  systemdVersion: number,
): UnitProperty[] {
  const properties: UnitProperty[] = [
    ...memoryProperties(resources.memory, version),
    ...cpuProperties(resources.cpu, version, systemdVersion),
  ];
  if (resources.pids) properties.push(["TasksMax", limit(resources.pids.limit)]);
  const weight = resources.blockIO?.weight;
  if (weight)
    properties.push(
      version === "v2" ? ["IOWeight", number(ioWeightFromBlkio(weight))] : ["BlockIOWeight", number(weight)],
    );
  if (resources.devices) properties.push(...deviceProperties(resources.devices));
  for (const [file, value] of Object.entries(resources.unified ?? {}))
    properties.push(...unifiedProperties(file, value.trim(), systemdVersion));
  // The last one of a name holds, as with the files.
  return properties.filter(
    ([name], index) =>
      name === "DeviceAllow" || !properties.slice(index + 1).some(([later]) => later === name),
  );
}

function memoryProperties(memory: Resources["memory"], version: "v1" | "v2"): UnitProperty[] {
  if (!memory) return [];
  const properties: UnitProperty[] = [];
  if (memory.limit) properties.push([version === "v2" ? "MemoryMax" : "MemoryLimit", limit(memory.limit)]);
  if (version === "v1") return properties;
  if (memory.reservation)
    properties.push(["MemoryLow", number(memory.reservation > 0 ? memory.reservation : INFINITY)]);
  if (memory.swap === -1 || (memory.swap === undefined && memory.limit === -1))
    properties.push(["MemorySwapMax", number(INFINITY)]);
  else if (memory.swap && memory.limit && memory.limit > 0)
    properties.push(["MemorySwapMax", number(memory.swap - memory.limit)]);
  return properties;
}

function cpuProperties(cpu: Resources["cpu"], version: "v1" | "v2", systemdVersion: number): UnitProperty[] {
  if (!cpu) return [];
  const properties: UnitProperty[] = [];
  if (cpu.shares)
    properties.push(
      version === "v2"
        ? ["CPUWeight", number(cpuWeightFromShares(cpu.shares))]
        : ["CPUShares", number(cpu.shares)],
    );
  if (cpu.idle === 1 && version === "v2" && systemdVersion >= 252) properties.push(["CPUWeight", number(0)]);
  if (cpu.quota || cpu.period) properties.push(...quotaProperties(cpu.quota, cpu.period, systemdVersion));
  if (version === "v2") {
    if (cpu.cpus) properties.push(["AllowedCPUs", ["ay", bitsOf(cpu.cpus)]]);
    if (cpu.mems) properties.push(["AllowedMemoryNodes", ["ay", bitsOf(cpu.mems)]]);
  }
  return properties;
}

/** A quota is stated per second, in steps of 10 ms, rounded up. A period alone is stated when its quota is. */
function quotaProperties(
  quota: number | undefined,
  period: number | undefined,
  systemdVersion: number,
): UnitProperty[] {
  const properties: UnitProperty[] = [];
  if (period && systemdVersion >= 242) properties.push(["CPUQuotaPeriodUSec", number(period)]);
  if (quota && quota > 0) {
    const perSecond = Math.ceil((quota * 1_000_000) / (period || 100_000) / 10_000) * 10_000;
    properties.push(["CPUQuotaPerSecUSec", number(perSecond)]);
  } else if (quota) {
    properties.push(["CPUQuotaPerSecUSec", number(INFINITY)]);
  }
  return properties;
}

/** A list of processors or nodes ("0-2,7") as the bits of bytes, the lowest first. */
export function bitsOf(list: string): number[] {
  const bytes: number[] = [];
  for (const part of list.split(",")) {
    const found = /^\s*(\d+)(?:-(\d+))?\s*$/.exec(part);
    if (!found) continue;
    const first = Number(found[1]);
    const last = Math.min(Number(found[2] ?? first), 65_535);
    for (let bit = first; bit <= last; bit++) {
      while (bytes.length <= bit >> 3) bytes.push(0);
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (1 << (bit & 7));
    }
  }
  return bytes;
}

const MEMORY_FILES: Record<string, string> = {
  "memory.max": "MemoryMax",
  "memory.high": "MemoryHigh",
  "memory.low": "MemoryLow",
  "memory.min": "MemoryMin",
  "memory.swap.max": "MemorySwapMax",
  "pids.max": "TasksMax",
};

/** Of one file of v2, where there is a property for what it holds. */
function unifiedProperties(file: string, value: string, systemdVersion: number): UnitProperty[] {
  const memory = MEMORY_FILES[file];
  if (memory !== undefined) {
    if (value === "max") return [[memory, number(INFINITY)]];
    return /^\d+$/.test(value) ? [[memory, number(value)]] : [];
  }
  if (file === "cpu.weight" && /^\d+$/.test(value)) return [["CPUWeight", number(value)]];
  if (file === "cpu.idle" && value === "1" && systemdVersion >= 252) return [["CPUWeight", number(0)]];
  if (file === "cpu.max") {
    const [quota = "", period = ""] = value.split(/\s+/);
    return quotaProperties(quota === "max" ? -1 : Number(quota), Number(period), systemdVersion);
  }
  if (file === "cpuset.cpus") return [["AllowedCPUs", ["ay", bitsOf(value)]]];
  if (file === "cpuset.mems") return [["AllowedMemoryNodes", ["ay", bitsOf(value)]]];
  return [];
}
