/**
 * `update`: changes the limits of a container, all of them or none. What is not given stays as it is, and the stored
 * configuration says afterwards what holds.
 */
import { readFileSync } from "node:fs";
import { CleanupStack } from "../../base/cleanup.ts";
import { errnoCode, errorMessage, GantryError } from "../../base/errors.ts";
import { createCgroupManager } from "../cgroup-manager.ts";
import { parseResources } from "../config-check.ts";
import { updateIntelRdt } from "../intel-rdt.ts";
import type { Resources } from "../runtime-spec.ts";
import type { CommandContext } from "./command-context.ts";
import { declareCommand, type OptionTable, type OptionValues } from "./command-declaration.ts";
import { containerStatus, loadContainer, storeContainer, withContainerLock } from "./container-state.ts";

/** Bytes may have a suffix k, m or g; "-1" is no limit. */
const UPDATE_OPTIONS = {
  resources: {
    kind: "value",
    short: "r",
    value: "file",
    help: `file with the specification's resources, "-" for standard input; then the other options do not count`,
  },
  "blkio-weight": { kind: "value", value: "n", help: "weight of block I/O" },
  "cpu-period": { kind: "value", value: "us", help: "period of the CPU quota" },
  "cpu-quota": { kind: "value", value: "us", help: "CPU time in a period" },
  "cpu-burst": { kind: "value", value: "us", help: "CPU time that may be saved up" },
  "cpu-share": { kind: "value", value: "n", help: "CPU shares" },
  "cpu-rt-period": { kind: "value", value: "us", help: "period of the realtime quota" },
  "cpu-rt-runtime": { kind: "value", value: "us", help: "realtime CPU time in a period" },
  "cpu-idle": { kind: "value", value: "n", help: "1: runs only when nothing else does" },
  "cpuset-cpus": { kind: "value", value: "list", help: "processors" },
  "cpuset-mems": { kind: "value", value: "list", help: "memory nodes" },
  memory: { kind: "value", value: "bytes", help: "limit of memory" },
  "memory-reservation": { kind: "value", value: "bytes", help: "soft limit of memory" },
  "memory-swap": { kind: "value", value: "bytes", help: "limit of memory and swap together; -1: none" },
  "kernel-memory": { kind: "value", value: "bytes", help: "without effect: the kernel has no such limit" },
  "kernel-memory-tcp": { kind: "value", value: "bytes", help: "without effect" },
  "l3-cache-schema": { kind: "value", value: "schema", help: "Intel RDT: cache allocation" },
  "mem-bw-schema": { kind: "value", value: "schema", help: "Intel RDT: memory bandwidth" },
  "pids-limit": { kind: "value", value: "n", help: "limit of processes; -1: none" },
} as const satisfies OptionTable;

type UpdateOptions = OptionValues<typeof UPDATE_OPTIONS>;

export const updateCommand = declareCommand({
  arguments: ["id"],
  options: UPDATE_OPTIONS,
  run: (context, [id], options) => update(context, id, options),
});

export async function update(context: CommandContext, id: string, options: UpdateOptions): Promise<void> {
  for (const [name, value] of [
    ["kernel-memory", options.kernelMemory],
    ["kernel-memory-tcp", options.kernelMemoryTcp],
  ] as const)
    if (value !== undefined) context.log.warn(`--${name} has no effect: the kernel has no such limit`);
  const { l3CacheSchema, memBwSchema } = options;
  const schemas = present({ l3CacheSchema, memBwSchema });
  const change = options.resources === undefined ? fromOptions(options) : fromFile(options.resources);
  await withContainerLock(context.root, id, async () => {
    const container = loadContainer(context.root, id);
    if (containerStatus(context.root, container) === "stopped")
      throw new GantryError("failed-precondition", `container not running: container "${id}" is stopped`);
    const linux = container.spec.linux ?? {};
    await using undo = new CleanupStack((name, error) => context.log.warn(`${name}: ${errorMessage(error)}`));
    if (schemas)
      undo.push("restore the schemata", updateIntelRdt(linux.intelRdt, id, Object.values(schemas)));
    await createCgroupManager().load(container.cgroupPath).update(change);
    undo.disarm();
    const intelRdt = schemas && { intelRdt: { ...linux.intelRdt, ...schemas } };
    container.spec.linux = { ...linux, resources: merged(linux.resources ?? {}, change), ...intelRdt };
    storeContainer(context.root, container);
  });
}

function fromFile(path: string): Resources {
  const name = path === "-" ? "standard input" : path;
  let text: string;
  try {
    text = readFileSync(path === "-" ? 0 : path, "utf8");
  } catch (error) {
    throw new GantryError("invalid-argument", `${name}: ${errnoCode(error) ?? String(error)}`);
  }
  // Engines send all resources that they know of the container; access to devices is not among what is changed.
  const { devices: _devices, ...resources } = parseResources(text, name);
  return resources;
}

export function fromOptions(options: UpdateOptions): Resources {
  const cpu = present({
    period: count(options.cpuPeriod, "--cpu-period"),
    quota: count(options.cpuQuota, "--cpu-quota"),
    burst: count(options.cpuBurst, "--cpu-burst"),
    shares: count(options.cpuShare, "--cpu-share"),
    realtimePeriod: count(options.cpuRtPeriod, "--cpu-rt-period"),
    realtimeRuntime: count(options.cpuRtRuntime, "--cpu-rt-runtime"),
    idle: count(options.cpuIdle, "--cpu-idle"),
    cpus: options.cpusetCpus,
    mems: options.cpusetMems,
  });
  const memory = present({
    limit: bytes(options.memory, "--memory"),
    reservation: bytes(options.memoryReservation, "--memory-reservation"),
    swap: bytes(options.memorySwap, "--memory-swap"),
  });
  const pids = count(options.pidsLimit, "--pids-limit");
  const weight = count(options.blkioWeight, "--blkio-weight");
  return {
    ...(cpu && { cpu }),
    ...(memory && { memory }),
    ...(pids !== undefined && { pids: { limit: pids } }),
    ...(weight !== undefined && { blockIO: { weight } }),
  };
}

type Present<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Without what is not given; undefined where nothing is. */
function present<T extends object>(values: T): Present<T> | undefined {
  const given = Object.entries(values).filter(([, value]) => value !== undefined);
  return given.length === 0 ? undefined : (Object.fromEntries(given) as Present<T>);
}

function count(text: string | undefined, option: string): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!/^-?\d+$/.test(text) || !Number.isSafeInteger(value))
    throw new GantryError("invalid-argument", `${option}: ${JSON.stringify(text)} is not a whole number`);
  return value;
}

const UNITS: Readonly<Record<string, number>> = { "": 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

function bytes(text: string | undefined, option: string): number | undefined {
  if (text === undefined) return undefined;
  const match = /^(-?\d+)([kmgt]?)(?:i?b)?$/i.exec(text);
  const value = Number(match?.[1]) * (UNITS[(match?.[2] ?? "").toLowerCase()] ?? NaN);
  if (!Number.isSafeInteger(value) || value < -1)
    throw new GantryError("invalid-argument", `${option}: ${JSON.stringify(text)} is not a number of bytes`);
  return value;
}

function merged(own: Resources, change: Resources): Resources {
  const result: Resources = { ...own, ...change };
  if (own.cpu && change.cpu) result.cpu = { ...own.cpu, ...change.cpu };
  if (own.memory && change.memory) result.memory = { ...own.memory, ...change.memory };
  if (own.unified && change.unified) result.unified = { ...own.unified, ...change.unified };
  return result;
}
