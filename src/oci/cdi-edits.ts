/**
 * What a CDI device changes in the configuration of a container: environment, device nodes, network interfaces, mounts,
 * hooks, groups and its resctrl class.
 * Configurations share frozen parts, so what changes is copied.
 */
import { statSync } from "node:fs";
import { posix } from "node:path";
import { errnoCode, GantryError } from "../base/errors.ts";
import type { CdiEdits } from "./cdi-spec.ts";
import { deviceNumbers } from "./device-lookup.ts";
import type { Device, Hook, Hooks, IntelRdt, Mount, Process, Spec } from "./runtime-spec.ts";

type DeviceNode = NonNullable<CdiEdits["deviceNodes"]>[number];

/**
 * The configuration with the edits.
 * @param what names the device and its file, for messages.
 * @throws GantryError failed-precondition for a device node that the host lacks, invalid-argument for two devices that
 *   want different things of one interface.
 */
export function applyCdiEdits(spec: Spec, edits: CdiEdits, what: string): Spec {
  const result: Spec = { ...spec };
  if (spec.process) result.process = editedProcess(spec.process, edits);
  for (const node of edits.deviceNodes ?? []) addDeviceNode(result, node, what);
  if (edits.mounts?.length) result.mounts = editedMounts(spec.mounts ?? [], edits.mounts);
  if (edits.netDevices?.length) addNetDevices(result, edits.netDevices, what);
  if (edits.intelRdt) result.linux = { ...result.linux, intelRdt: editedClass(edits.intelRdt) };
  if (edits.hooks?.length) result.hooks = editedHooks(spec.hooks ?? {}, edits.hooks);
  return result;
}

function editedProcess(process: Process, edits: CdiEdits): Process {
  const env = new Map((process.env ?? []).map((entry) => [variableName(entry), entry]));
  for (const entry of edits.env ?? []) env.set(variableName(entry), entry);
  const groups = new Set(process.user.additionalGids ?? []);
  for (const gid of edits.additionalGids ?? []) if (gid !== 0) groups.add(gid);
  return { ...process, env: [...env.values()], user: { ...process.user, additionalGids: [...groups] } };
}

function variableName(entry: string): string {
  return entry.split("=", 1)[0] ?? entry;
}

/** The node replaces one of the same path, and its use is allowed. It is its user's if that is not root. */
function addDeviceNode(spec: Spec, node: DeviceNode, what: string): void {
  const { uid = 0, gid = 0 } = spec.process?.user ?? {};
  const path = posix.normalize(node.path);
  const device: Device = {
    ...numberedDevice(node, what),
    path,
    ...(node.fileMode !== undefined && { fileMode: node.fileMode }),
    uid: node.uid ?? uid,
    gid: node.gid ?? gid,
  };
  const linux = spec.linux ?? {};
  const rules = linux.resources?.devices ?? [];
  const { type, major, minor } = device;
  const rule = { allow: true, type, major: major ?? 0, minor: minor ?? 0, access: node.permissions || "rwm" };
  spec.linux = {
    ...linux,
    devices: [...(linux.devices ?? []).filter((other) => other.path !== path), device],
    resources: { ...linux.resources, devices: type === "b" || type === "c" ? [...rules, rule] : rules },
  };
}

/** Type and numbers as given, and what is not given as the host's node has it. */
function numberedDevice(node: DeviceNode, what: string): Pick<Device, "type" | "major" | "minor"> {
  const { type = "", major = 0, minor = 0 } = node;
  if (type === "p" || (type !== "" && major !== 0)) return { type, major, minor };
  const hostPath = node.hostPath ?? node.path;
  try {
    const stats = statSync(hostPath);
    const found = stats.isCharacterDevice() ? "c" : stats.isBlockDevice() ? "b" : stats.isFIFO() ? "p" : "";
    if (found === "" || (type !== "" && (type === "u" ? "c" : type) !== found))
      throw new GantryError(
        "failed-precondition",
        `${what}: ${hostPath} is no device of type ${type || "b, c or p"}`,
      );
    return { type: found, ...deviceNumbers(stats.rdev) };
  } catch (error) {
    if (error instanceof GantryError) throw error;
    throw new GantryError("failed-precondition", `${what}: device node ${hostPath}: ${errnoCode(error)}`, {
      cause: error,
    });
  }
}

function addNetDevices(spec: Spec, added: NonNullable<CdiEdits["netDevices"]>, what: string): void {
  if (!spec.linux?.namespaces?.some(({ type }) => type === "network"))
    throw new GantryError("failed-precondition", `${what}: netDevices: the pod is in the host's network`);
  const devices = { ...spec.linux.netDevices };
  for (const { hostInterfaceName, name } of added) {
    const other = devices[hostInterfaceName];
    const taken = Object.entries(devices).find(
      ([host, device]) => device.name === name && host !== hostInterfaceName,
    );
    if ((other && other.name !== name) || (taken && !name.includes("%")))
      throw new GantryError(
        "invalid-argument",
        `${what}: network interfaces ${hostInterfaceName} and ${name} are asked for in two ways`,
      );
    devices[hostInterfaceName] = { name };
  }
  spec.linux = { ...spec.linux, netDevices: devices };
}

/** The last device decides, as there is one class for each process. Older files tell in two ways that they want monitoring. */
function editedClass({
  enableCMT = false,
  enableMBM = false,
  enableMonitoring = false,
  ...rest
}: NonNullable<CdiEdits["intelRdt"]>): IntelRdt {
  const monitoring = enableCMT || enableMBM || enableMonitoring;
  const given = Object.entries(rest).filter(([, value]) => value !== undefined);
  return { ...(Object.fromEntries(given) as IntelRdt), ...(monitoring && { enableMonitoring: true }) };
}

/** A mount replaces those on its destination; outer ones are made before those in them. */
function editedMounts(mounts: readonly Mount[], added: NonNullable<CdiEdits["mounts"]>): Mount[] {
  const places = new Set(added.map(({ containerPath }) => posix.normalize(containerPath)));
  const kept = mounts.filter(({ destination }) => !places.has(posix.normalize(destination)));
  const made = added.map(({ hostPath, containerPath, options = [], type = "" }): Mount => {
    const bind = type === "" || type === "bind" || options.includes("bind") || options.includes("rbind");
    return {
      destination: posix.normalize(containerPath),
      type: bind ? "bind" : type,
      source: hostPath,
      options:
        bind && !options.includes("bind") && !options.includes("rbind") ? ["rbind", ...options] : options,
    };
  });
  const depth = ({ destination }: Mount): number => destination.split("/").filter(Boolean).length;
  return [...kept, ...made].sort((a, b) => depth(a) - depth(b));
}

function editedHooks(hooks: Hooks, added: NonNullable<CdiEdits["hooks"]>): Hooks {
  const result: Hooks = { ...hooks };
  for (const { hookName, path, args, env, timeout } of added) {
    const hook: Hook = { path, ...(args && { args }), ...(env && { env }), ...(timeout && { timeout }) };
    result[hookName] = [...(result[hookName] ?? []), hook];
  }
  return result;
}
