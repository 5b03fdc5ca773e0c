/** The Linux part of an adjustment: devices, resources, namespaces and what else the kernel gives a process. */
import { GantryError } from "../base/errors.ts";
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
  refuseUnknown(change);
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
    process.ioPriority = { class: change.io_priority.class, priority: change.io_priority.priority };
  }
  if (change.scheduler) {
    owners.claim("LinuxSched", plugin);
    process.scheduler = ociScheduler(change.scheduler);
  }
  if (change.seccomp_policy) {
    owners.claim("SeccompPolicy", plugin);
    linux.seccomp = ociSeccomp(change.seccomp_policy);
  }
  adjustNamespaces(target, linux, change.namespaces, plugin);
  adjustSysctls(target, linux, change.sysctl, plugin);
}

/** What the executor cannot do yet must not be left out in silence. */
function refuseUnknown(change: LinuxAdjustmentIn): void {
  const asked: [string, boolean][] = [
    ["network devices", Object.keys(change.net_devices).length > 0],
    [
      "RDT",
      change.rdt !== null &&
        [change.rdt.clos_id, change.rdt.schemata, change.rdt.enable_monitoring].some(Boolean),
    ],
    ["memory policy", change.memory_policy !== null],
  ];
  for (const [what, given] of asked)
    if (given) throw new GantryError("unimplemented", `adjustment of ${what}: not supported`);
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
    runtime: integer(scheduler.runtime, "scheduler runtime"),
    deadline: integer(scheduler.deadline, "scheduler deadline"),
    period: integer(scheduler.period, "scheduler period"),
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
