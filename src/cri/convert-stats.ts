/**
 * Use of resources, as it is answered. The messages are written in the wire format directly (wire-writer.ts): field
 * numbers stand here as in proto/runtime/v1/api.proto.
 */
import type { Container } from "../engine/container.ts";
import type { PodSandbox } from "../engine/pod-sandbox.ts";
import type {
  ContainerStatsFilter,
  ContainerUsage,
  GroupUsage,
  InterfaceCounters,
  PodInterfaces,
  PodStatsFilter,
  PodUsage,
  Pressure,
  PressureLine,
} from "../engine/resources.ts";
import type { ContainerStatsFilter__Output } from "./generated/runtime/v1/ContainerStatsFilter.ts";
import type { FilesystemUsage } from "./generated/runtime/v1/FilesystemUsage.ts";
import type { PodSandboxStatsFilter__Output } from "./generated/runtime/v1/PodSandboxStatsFilter.ts";
import { encodeMessage } from "./protocol.ts";
import type { WireWriter } from "./wire-writer.ts";

export function containerStatsFilter(filter: ContainerStatsFilter__Output | null): ContainerStatsFilter {
  if (!filter) return {};
  return {
    ...(filter.id === "" ? {} : { id: filter.id }),
    ...(filter.pod_sandbox_id === "" ? {} : { podSandboxId: filter.pod_sandbox_id }),
    labels: filter.label_selector,
  };
}

export function podStatsFilter(filter: PodSandboxStatsFilter__Output | null): PodStatsFilter {
  if (!filter) return {};
  return { ...(filter.id === "" ? {} : { id: filter.id }), labels: filter.label_selector };
}

/** Attributes do not change, so they are encoded once; they go with what they are of. */
const attributes = new WeakMap<Container | PodSandbox, Buffer>();

function attributesOf(type: string, owner: Container | PodSandbox): Buffer {
  let bytes = attributes.get(owner);
  if (!bytes) {
    const { metadata, labels, annotations } = owner.config;
    bytes = encodeMessage(type, { id: owner.id, metadata, labels, annotations });
    attributes.set(owner, bytes);
  }
  return bytes;
}

/** The message ContainerStats as the value of field 1, where all replies have it, or of another one. */
export function writeContainerStats(writer: WireWriter, usage: ContainerUsage, field = 1): void {
  const { timestampNs, filesystem } = usage;
  const start = writer.begin(field);
  writer.bytes(1, attributesOf("ContainerAttributes", usage.container));
  writeCpu(writer, 2, usage);
  writeMemory(writer, 3, usage);
  if (filesystem) {
    const layer = writer.begin(4);
    writer.number(1, filesystem.timestampNs);
    const id = writer.begin(2);
    writer.string(1, filesystem.directory);
    writer.end(id);
    writer.count(3, filesystem.usedBytes);
    writer.count(4, filesystem.inodesUsed);
    writer.end(layer);
  }
  const swap = writer.begin(5);
  writer.number(1, timestampNs);
  writer.count(2, usage.swapAvailableBytes);
  writer.count(3, usage.swapUsageBytes);
  writer.end(swap);
  writeIo(writer, 6, usage);
  writer.end(start);
}

/** The message PodSandboxStats as the value of field 1, where all replies have it. */
export function writePodStats(writer: WireWriter, usage: PodUsage): void {
  const start = writer.begin(1);
  writer.bytes(1, attributesOf("PodSandboxAttributes", usage.sandbox));
  const linux = writer.begin(2);
  writeCpu(writer, 1, usage);
  writeMemory(writer, 2, usage);
  if (usage.network) writeNetwork(writer, 3, usage.network);
  const processes = writer.begin(4);
  writer.number(1, usage.timestampNs);
  writer.count(2, usage.processes);
  writer.end(processes);
  for (const container of usage.containers) writeContainerStats(writer, container, 5);
  writeIo(writer, 6, usage);
  writer.end(linux);
  writer.end(start);
}

function writeCpu(writer: WireWriter, field: number, usage: GroupUsage): void {
  const start = writer.begin(field);
  writer.number(1, usage.timestampNs);
  writer.count(2, usage.cpuUsageNs);
  writer.count(3, usage.cpuNanoCores);
  writePressure(writer, 4, usage.cpuPressure);
  writer.end(start);
}

function writeMemory(writer: WireWriter, field: number, usage: GroupUsage): void {
  const start = writer.begin(field);
  writer.number(1, usage.timestampNs);
  writer.count(2, usage.memoryWorkingSetBytes);
  writer.count(3, usage.memoryAvailableBytes);
  writer.count(4, usage.memoryUsageBytes);
  writer.count(5, usage.memoryRssBytes);
  writer.count(6, usage.memoryPageFaults);
  writer.count(7, usage.memoryMajorPageFaults);
  writePressure(writer, 8, usage.memoryPressure);
  writer.end(start);
}

/** There is nothing in it but the pressure. */
function writeIo(writer: WireWriter, field: number, usage: GroupUsage): void {
  if (!usage.ioPressure) return;
  const start = writer.begin(field);
  writer.number(1, usage.timestampNs);
  writePressure(writer, 2, usage.ioPressure);
  writer.end(start);
}

function writePressure(writer: WireWriter, field: number, pressure: Pressure | undefined): void {
  if (!pressure) return;
  const start = writer.begin(field);
  if (pressure.full) writePressureLine(writer, 1, pressure.full);
  writePressureLine(writer, 2, pressure.some);
  writer.end(start);
}

function writePressureLine(writer: WireWriter, field: number, line: PressureLine): void {
  const start = writer.begin(field);
  // Exact below 2^53 nanoseconds: a hundred days of nothing but stalling.
  writer.number(1, line.totalUs * 1000);
  writer.double(2, line.avg10);
  writer.double(3, line.avg60);
  writer.double(4, line.avg300);
  writer.end(start);
}

function writeNetwork(writer: WireWriter, field: number, network: PodInterfaces): void {
  const start = writer.begin(field);
  writer.number(1, network.timestampNs);
  if (network.primary) writeInterface(writer, 2, network.primary);
  for (const each of network.others) writeInterface(writer, 3, each);
  writer.end(start);
}

function writeInterface(writer: WireWriter, field: number, counters: InterfaceCounters): void {
  const start = writer.begin(field);
  writer.string(1, counters.name);
  writer.count(2, counters.rxBytes);
  writer.count(3, counters.rxErrors);
  writer.count(4, counters.txBytes);
  writer.count(5, counters.txErrors);
  writer.end(start);
}

/** Use of the filesystem that holds the directory, which may be any on it. */
export function filesystemUsageMessage(
  directory: string,
  usage: { bytes: number; inodes: number },
  timestampNs: bigint,
): FilesystemUsage {
  return {
    timestamp: timestampNs.toString(),
    fs_id: { mountpoint: directory },
    used_bytes: { value: usage.bytes },
    inodes_used: { value: usage.inodes },
  };
}
