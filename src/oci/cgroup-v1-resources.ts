/** The OCI's resources as writes to v1 control files (config-linux.md, "Control groups"; the kernel's cgroup-v1 docs). */
import { join } from "node:path";
import { GantryError } from "../base/errors.ts";
import { rdmaWrites, v1BlockIoWrites, v1NetworkWrites } from "./cgroup-device-limits.ts";
import { checkPageSize, v2HugepageWrites } from "./cgroup-v2-resources.ts";
import type { CgroupWrite } from "./cgroup-write.ts";
import type { DeviceRule, Resources } from "./runtime-spec.ts";

export interface V1Target {
  /** The group's directory in a controller's hierarchy; undefined where the host does not have the controller. */
  directory(controller: string): string | undefined;
  /** The group's directory in the v2 hierarchy of a hybrid host, where the controller is there. */
  unifiedDirectory(controller: string): string | undefined;
  read(path: string): string | undefined;
}

/**
 * @throws GantryError failed-precondition for a limit whose controller is missing, invalid-argument for a limit
 *   that contradicts another.
 */
export function v1Writes(resources: Resources, target: V1Target): CgroupWrite[] {
  const writes: CgroupWrite[] = [];
  const put = (
    controller: string,
    file: string,
    value: number | string | undefined,
    optional = false,
  ): void => {
    if (value === undefined) return;
    const directory = target.directory(controller);
    if (directory) {
      writes.push({ directory, file, value: String(value), ...(optional ? { optional } : {}) });
    } else if (!optional) missing(controller, file);
  };

  if (resources.unified && Object.keys(resources.unified).length > 0) {
    throw new GantryError(
      "failed-precondition",
      "cgroup: unified limits need cgroup v2, and this host has v1",
    );
  }
  for (const rule of resources.devices ?? [])
    put("devices", rule.allow ? "devices.allow" : "devices.deny", deviceLine(rule));
  putMemory(resources, target, put);
  const { cpu, pids } = resources;
  // A group that is idle takes no shares, and has none of its own.
  if (cpu?.idle === 0) put("cpu", "cpu.idle", 0);
  if (cpu?.idle !== 1) put("cpu", "cpu.shares", cpu?.shares || undefined);
  if (cpu?.idle === 1) put("cpu", "cpu.idle", 1);
  put("cpu", "cpu.cfs_period_us", cpu?.period || undefined);
  put("cpu", "cpu.cfs_quota_us", cpu?.quota ? Math.max(cpu.quota, -1) : undefined);
  put("cpu", "cpu.cfs_burst_us", cpu?.burst);
  put("cpu", "cpu.rt_period_us", cpu?.realtimePeriod || undefined);
  put("cpu", "cpu.rt_runtime_us", cpu?.realtimeRuntime || undefined);
  put("cpuset", "cpuset.cpus", cpu?.cpus || undefined);
  put("cpuset", "cpuset.mems", cpu?.mems || undefined);
  if (pids) put("pids", "pids.max", pids.limit > 0 ? pids.limit : "max");
  for (const { pageSize, limit } of resources.hugepageLimits ?? []) {
    const unified = target.unifiedDirectory("hugetlb");
    if (unified !== undefined) {
      writes.push(...v2HugepageWrites(unified, pageSize, limit));
      continue;
    }
    checkPageSize(pageSize);
    put("hugetlb", `hugetlb.${pageSize}.limit_in_bytes`, limit, limit === 0);
    if (target.directory("hugetlb")) put("hugetlb", `hugetlb.${pageSize}.rsvd.limit_in_bytes`, limit, true);
  }
  const { blockIO, rdma, network } = resources;
  const needed = (controller: string, file: string): string =>
    target.directory(controller) ?? missing(controller, file);
  if (blockIO && Object.values(blockIO).some((value) => (Array.isArray(value) ? value.length > 0 : value)))
    writes.push(...v1BlockIoWrites(blockIO, needed("blkio", "blkio limits"), (path) => target.read(path)));
  if (rdma && Object.keys(rdma).length > 0)
    writes.push(...rdmaWrites(rdma, target.unifiedDirectory("rdma") ?? needed("rdma", "rdma.max")));
  if (network) writes.push(...v1NetworkWrites(network, needed));
  return writes;
}

function missing(controller: string, file: string): never {
  throw new GantryError(
    "failed-precondition",
    `cgroup: ${file} needs the ${controller} controller, which this host lacks`,
  );
}

type Put = (controller: string, file: string, value: number | string | undefined, optional?: boolean) => void;

/** The kernel keeps memory ≤ memory and swap at every moment, which decides the order of the two writes. */
function putMemory({ memory }: Resources, target: V1Target, put: Put): void {
  if (!memory) return;
  const limit = memory.limit;
  // No limit of memory leaves none for both together.
  const swap = memory.swap ?? (limit === -1 ? -1 : undefined);
  if (limit && swap && limit > 0 && swap > 0 && swap < limit) {
    throw new GantryError(
      "invalid-argument",
      `cgroup: limit of memory and swap ${swap} is below that of memory ${limit}`,
    );
  }
  const directory = target.directory("memory");
  // checkBeforeUpdate needs nothing: v1 itself refuses a limit that the group cannot be brought below.
  const current = directory ? target.read(join(directory, "memory.memsw.limit_in_bytes")) : undefined;
  const putLimit = (): void => put("memory", "memory.limit_in_bytes", limit);
  // Without swap accounting, "no swap" cannot be promised and is not asked for by name: it is the default.
  const putSwap = (): void =>
    put("memory", "memory.memsw.limit_in_bytes", swap, swap === limit || swap === -1);
  const raising = current !== undefined && swap !== undefined && (swap < 0 || swap > Number(current));
  if (raising) {
    putSwap();
    putLimit();
  } else {
    putLimit();
    putSwap();
  }
  put("memory", "memory.soft_limit_in_bytes", memory.reservation);
  put("memory", "memory.kmem.tcp.limit_in_bytes", memory.kernelTCP);
  put("memory", "memory.swappiness", memory.swappiness);
  if (memory.disableOOMKiller !== undefined)
    put("memory", "memory.oom_control", memory.disableOOMKiller ? 1 : 0, !memory.disableOOMKiller);
}

function deviceLine(rule: DeviceRule): string {
  const access = rule.access ?? "rwm";
  if (!/^[rwm]{1,3}$/.test(access))
    throw new GantryError("invalid-argument", `cgroup: device access ${JSON.stringify(access)}`);
  const type = rule.type ?? "a";
  if (!/^[abcu]$/.test(type))
    throw new GantryError("invalid-argument", `cgroup: device type ${JSON.stringify(type)}`);
  const number = (value: number | undefined): string =>
    value === undefined || value < 0 ? "*" : String(value);
  if (type === "a") return "a";
  return `${type === "u" ? "c" : type} ${number(rule.major)}:${number(rule.minor)} ${access}`;
}
