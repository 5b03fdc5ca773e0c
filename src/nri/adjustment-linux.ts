/** The Linux part of an adjustment: devices, resources, namespaces and what else the kernel gives a process. */
import type { Seccomp, Spec } from "../engine/lifecycle-hooks.ts";
import { type AdjustmentTarget, processOf } from "./adjustment-target.ts";
import type { DeviceIn, LinuxAdjustmentIn, SeccompIn } from "./messages.ts";
import { integer, optional } from "./numbers.ts";
import { claimResources } from "./owners.ts";
import { splitRemovals } from "./removal.ts";
import { adjustedResources } from "./resources.ts";

type Linux = NonNullable<Spec["linux"]>;

export function adjustLinux(target: AdjustmentTarget, change: LinuxAdjustmentIn, plugin: string): void {
  const { spec, owners } = target;
  const linux = (spec.linux ??= {});
  const process = processOf(spec);
  adjustDevices(target, linux, change.devices, plugin);
  if (change.resources) {
    claimResources(owners, plugin, change.resources);
    linux.resources = adjustedResources(linux.resources ?? {}, change.resources);
  }
  if (change.cgroups_path !== "") {
    owners.claim("CgroupsPath", plugin);
    linux.cgroupsPath = change.cgroups_path;
  }
  const score = optional(change.oom_score_adj, "OOM score");
  if (score !== undefined) {
    owners.claim("OomScoreAdj", plugin);
    process.oomScoreAdj = score;
  }
  if (change.io_priority) {
    owners.claim("IoPriority", plugin);
    const { class: name, priority } = change.io_priority;
    if (name === "IOPRIO_CLASS_NONE") delete process.ioPriority;
    else process.ioPriority = { class: name, priority };
  }
  if (change.scheduler) {
    owners.claim("LinuxSched", plugin);
    if (change.scheduler.policy === "SCHED_NONE") delete process.scheduler;
    else process.scheduler = ociScheduler(change.scheduler);
  }
  if (change.seccomp_policy) {
    owners.claim("SeccompPolicy", plugin);
    linux.seccomp = ociSeccomp(change.seccomp_policy);
  }
  if (change.memory_policy) {
    owners.claim("MemoryPolicy", plugin);
    const { mode, nodes, flags } = change.memory_policy;
    linux.memoryPolicy = { mode, ...(nodes !== "" && { nodes }), ...(flags.length > 0 && { flags }) };
  }
  if (change.rdt) adjustClass(target, linux, change.rdt, plugin);
  adjustNetDevices(target, linux, change.net_devices, plugin);
  adjustNamespaces(target, linux, change.namespaces, plugin);
  adjustSysctls(target, linux, change.sysctl, plugin);
}

function adjustDevices(
  { owners }: AdjustmentTarget,
  linux: Linux,
  devices: DeviceIn[],
  plugin: string,
): void {
  if (devices.length === 0) return;
  const { removed, set } = splitRemovals(devices, ({ path }) => path);
  for (const path of removed) owners.clear("Devices", plugin, path);
  for (const { path } of set) owners.claim("Devices", plugin, path);
  const changed = new Set([...removed, ...set.map(({ path }) => path)]);
  const added = set.map((device) => {
    const fileMode = device.file_mode?.value;
    return {
      path: device.path,
      type: device.type,
      major: integer(device.major, `device ${device.path}`),
      minor: integer(device.minor, `device ${device.path}`),
      ...(fileMode !== undefined && { fileMode: fileMode & 0o7777 }),
      ...(device.uid && { uid: device.uid.value }),
      ...(device.gid && { gid: device.gid.value }),
    };
  });
  linux.devices = [...(linux.devices ?? []).filter(({ path }) => !changed.has(path)), ...added];
  const rules = added
    .filter(({ type }) => type !== "p")
    .map(({ type, major, minor }) => ({
      allow: true,
      type: type === "u" ? "c" : type,
      major,
      minor,
      access: "rwm",
    }));
  linux.resources = { ...linux.resources, devices: [...(linux.resources?.devices ?? []), ...rules] };
}

/** Each member has an owner of its own; what earlier plugins and devices set goes first where `remove` says so. */
function adjustClass(
  { owners }: AdjustmentTarget,
  linux: Linux,
  rdt: NonNullable<LinuxAdjustmentIn["rdt"]>,
  plugin: string,
): void {
  const next = rdt.remove ? {} : { ...linux.intelRdt };
  if (rdt.remove)
    for (const field of ["RdtClosID", "RdtSchemata", "RdtEnableMonitoring"]) owners.clear(field, plugin);
  if (rdt.clos_id) {
    owners.claim("RdtClosID", plugin);
    next.closID = rdt.clos_id.value;
  }
  if (rdt.schemata) {
    owners.claim("RdtSchemata", plugin);
    next.schemata = rdt.schemata.value;
  }
  if (rdt.enable_monitoring) {
    owners.claim("RdtEnableMonitoring", plugin);
    next.enableMonitoring = rdt.enable_monitoring.value;
  }
  if (Object.keys(next).length > 0) linux.intelRdt = next;
  else delete linux.intelRdt;
}

function adjustNetDevices(
  { owners }: AdjustmentTarget,
  linux: Linux,
  devices: LinuxAdjustmentIn["net_devices"],
  plugin: string,
): void {
  const { removed, set } = splitRemovals(Object.entries(devices), ([name]) => name);
  if (removed.length + set.length === 0) return;
  const next = new Map(Object.entries(linux.netDevices ?? {}));
  for (const name of removed) {
    owners.clear("LinuxNetDevices", plugin, name);
    next.delete(name);
  }
  for (const [host, { name }] of set) {
    owners.claim("LinuxNetDevices", plugin, host);
    next.set(host, name === "" ? {} : { name });
  }
  linux.netDevices = Object.fromEntries(next);
}

function adjustNamespaces(
  { owners }: AdjustmentTarget,
  linux: Linux,
  namespaces: { type: string; path: string }[],
  plugin: string,
): void {
  const { removed, set } = splitRemovals(namespaces, ({ type }) => type);
  for (const type of [...removed, ...set.map((namespace) => namespace.type)])
    owners.claim("Namespace", plugin, type);
  const changed = new Set([...removed, ...set.map(({ type }) => type)]);
  if (changed.size === 0) return;
  linux.namespaces = [
    ...(linux.namespaces ?? []).filter(({ type }) => !changed.has(type)),
    // Whether there is such a type is for the check of the whole to say.
    ...set.map(
      ({ type, path }) => ({ type, ...(path !== "" && { path }) }) as NonNullable<Linux["namespaces"]>[0],
    ),
  ];
}

function adjustSysctls(
  { owners }: AdjustmentTarget,
  linux: Linux,
  sysctls: Record<string, string>,
  plugin: string,
): void {
  const { removed, set } = splitRemovals(Object.entries(sysctls), ([key]) => key);
  const next = new Map(Object.entries(linux.sysctl ?? {}));
  for (const key of removed) {
    owners.clear("Sysctl", plugin, key);
    next.delete(key);
  }
  for (const [key, value] of set) {
    owners.claim("Sysctl", plugin, key);
    next.set(key, value);
  }
  linux.sysctl = Object.fromEntries(next);
}

function ociScheduler(
  scheduler: NonNullable<LinuxAdjustmentIn["scheduler"]>,
): NonNullable<NonNullable<Spec["process"]>["scheduler"]> {
  return {
    policy: scheduler.policy,
    nice: scheduler.nice,
    priority: scheduler.priority,
    flags: scheduler.flags,
    runtime: BigInt(scheduler.runtime),
    deadline: BigInt(scheduler.deadline),
    period: BigInt(scheduler.period),
  };
}

function ociSeccomp(policy: SeccompIn): Seccomp {
  const value = (text: string): number | bigint => {
    const number = Number(text);
    return Number.isSafeInteger(number) ? number : BigInt(text);
  };
  return {
    defaultAction: policy.default_action,
    ...(policy.default_errno && { defaultErrnoRet: policy.default_errno.value }),
    architectures: policy.architectures,
    flags: policy.flags,
    ...(policy.listener_path !== "" && { listenerPath: policy.listener_path }),
    ...(policy.listener_metadata !== "" && { listenerMetadata: policy.listener_metadata }),
    syscalls: policy.syscalls.map(({ names, action, errno_ret: errno, args }) => ({
      names,
      action,
      ...(errno && { errnoRet: errno.value }),
      args: args.map(({ index, value: first, value_two: second, op }) => ({
        index,
        value: value(first),
        valueTwo: value(second),
        op,
      })),
    })),
  };
}
