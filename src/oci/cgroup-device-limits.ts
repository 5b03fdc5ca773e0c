/**
 * Limits that are stated by device (block devices, RDMA devices, network interfaces) as writes to control files. Such a
 * file takes one line for one device at a time, and shows those that have a limit.
 */
import { join } from "node:path";
import { GantryError } from "../base/errors.ts";
import type { CgroupWrite } from "./cgroup-write.ts";
import type { BlockIo, Resources } from "./runtime-spec.ts";

type Read = (path: string) => string | undefined;
type Device = { major: number; minor: number };

const THROTTLES = [
  ["throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps"],
  ["throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps"],
  ["throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops"],
  ["throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops"],
] as const;

const name = ({ major, minor }: Device): string => `${major}:${minor}`;

/** @param directory of the blkio controller. */
export function v1BlockIoWrites(blockIo: BlockIo, directory: string, read: Read): CgroupWrite[] {
  const { weight, leafWeight, weightDevice = [] } = blockIo;
  // Files of the scheduler in use; of none where there is none, whose absence is told by the plain name.
  const bfq =
    read(join(directory, "blkio.weight")) === undefined &&
    read(join(directory, "blkio.bfq.weight")) !== undefined;
  const prefix = bfq ? "blkio.bfq" : "blkio";
  const writes: CgroupWrite[] = [];
  const put = (file: string, value: string, undo?: string): void =>
    void writes.push({ directory, file, value, ...(undo !== undefined && { undo }) });
  if (weight) put(`${prefix}.weight`, String(weight));
  if (leafWeight) put("blkio.leaf_weight", String(leafWeight));
  for (const device of weightDevice) {
    if (device.weight)
      put(`${prefix}.weight_device`, `${name(device)} ${device.weight}`, `${name(device)} 0`);
    if (device.leafWeight)
      put("blkio.leaf_weight_device", `${name(device)} ${device.leafWeight}`, `${name(device)} 0`);
  }
  for (const [field, file] of THROTTLES)
    for (const device of blockIo[field] ?? [])
      put(file, `${name(device)} ${device.rate}`, `${name(device)} 0`);
  return writes;
}

/** @throws GantryError failed-precondition for leaf weights, which v2 does not have. */
export function v2BlockIoWrites(
  blockIo: BlockIo,
  directory: string,
  read: Read,
  weightOf: (blkioWeight: number) => number,
): CgroupWrite[] {
  const { weight, weightDevice = [] } = blockIo;
  if (blockIo.leafWeight || weightDevice.some(({ leafWeight }) => leafWeight))
    throw new GantryError("failed-precondition", "cgroup: v2 has no leaf weights of block I/O");
  const bfq = read(join(directory, "io.bfq.weight")) !== undefined;
  const file = bfq ? "io.bfq.weight" : "io.weight";
  const scaled = (value: number): number => (bfq ? value : weightOf(value));
  const writes: CgroupWrite[] = [];
  if (weight) writes.push({ directory, file, value: String(scaled(weight)) });
  for (const device of weightDevice)
    if (device.weight)
      writes.push({
        directory,
        file,
        value: `${name(device)} ${scaled(device.weight)}`,
        undo: `${name(device)} default`,
      });
  for (const [field, , key] of THROTTLES)
    for (const device of blockIo[field] ?? [])
      writes.push({
        directory,
        file: "io.max",
        value: `${name(device)} ${key}=${device.rate > 0 ? device.rate : "max"}`,
        undo: `${name(device)} rbps=max wbps=max riops=max wiops=max`,
      });
  return writes;
}

/** The same files in both versions. */
export function rdmaWrites(rdma: NonNullable<Resources["rdma"]>, directory: string): CgroupWrite[] {
  return Object.entries(rdma).map(([device, { hcaHandles, hcaObjects }]) => {
    if (!/^[A-Za-z0-9_.-]+$/.test(device))
      throw new GantryError("invalid-argument", `cgroup: RDMA device ${JSON.stringify(device)}`);
    const parts = [
      ...(hcaHandles === undefined ? [] : [`hca_handle=${hcaHandles}`]),
      ...(hcaObjects === undefined ? [] : [`hca_object=${hcaObjects}`]),
    ];
    return { directory, file: "rdma.max", value: [device, ...parts].join(" ") };
  });
}

/** @param directory of the controller in its v1 hierarchy. @throws what it throws for a controller that is missing. */
export function v1NetworkWrites(
  network: NonNullable<Resources["network"]>,
  directory: (controller: string, file: string) => string,
): CgroupWrite[] {
  const writes: CgroupWrite[] = [];
  if (network.classID)
    writes.push({
      directory: directory("net_cls", "net_cls.classid"),
      file: "net_cls.classid",
      value: String(network.classID),
    });
  for (const { name: device, priority } of network.priorities ?? []) {
    if (!/^[^\s/]{1,15}$/.test(device))
      throw new GantryError("invalid-argument", `cgroup: network interface ${JSON.stringify(device)}`);
    writes.push({
      directory: directory("net_prio", "net_prio.ifpriomap"),
      file: "net_prio.ifpriomap",
      value: `${device} ${priority}`,
    });
  }
  return writes;
}
