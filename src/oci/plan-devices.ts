/**
 * Operations for /dev: the nodes that every container has (config-linux.md, "Default Devices"), those that are
 * asked for, and the links that programs expect.
 */
import { posix } from "node:path";
import { GantryError } from "../base/errors.ts";
import { S_IFMT } from "./plan-constants.ts";
import { addDeviceBind, rootPath } from "./plan-mounts.ts";
import { PLAN_TABLE, type PlanWriter } from "./plan.ts";
import type { Device, Spec } from "./runtime-spec.ts";

const DEFAULT_DEVICES: readonly Device[] = [
  { type: "c", path: "/dev/null", major: 1, minor: 3 },
  { type: "c", path: "/dev/zero", major: 1, minor: 5 },
  { type: "c", path: "/dev/full", major: 1, minor: 7 },
  { type: "c", path: "/dev/random", major: 1, minor: 8 },
  { type: "c", path: "/dev/urandom", major: 1, minor: 9 },
  { type: "c", path: "/dev/tty", major: 5, minor: 0 },
];

const LINKS: readonly (readonly [name: string, target: string])[] = [
  ["fd", "/proc/self/fd"],
  ["stdin", "/proc/self/fd/0"],
  ["stdout", "/proc/self/fd/1"],
  ["stderr", "/proc/self/fd/2"],
  ["core", "/proc/kcore"],
  ["ptmx", "pts/ptmx"],
];

function addDevice(plan: PlanWriter, device: Device, bind: boolean): void {
  const type = S_IFMT[device.type as keyof typeof S_IFMT];
  const path = rootPath(device.path);
  if (type === undefined)
    throw new GantryError("invalid-argument", `device ${path}: unknown type ${JSON.stringify(device.type)}`);
  if (bind && plan.hostPhase) return addDeviceBind(plan, path);
  const permissions = (device.fileMode ?? 0o666) & 0o7777;
  /* A fifo has no number. */
  const numbered = device.type !== "p";
  plan.add("device", {
    mode: type | permissions,
    major: numbered ? (device.major ?? 0) : 0,
    minor: numbered ? (device.minor ?? 0) : 0,
    uid: device.uid ?? 0,
    gid: device.gid ?? 0,
    flags: bind ? PLAN_TABLE.constants.device.bind : 0,
    directory: posix.dirname(path),
    name: posix.basename(path),
  });
}

/** Nothing where /dev itself is a bind of a directory of the host's, which has its own. */
export function addDevices(plan: PlanWriter, spec: Spec): void {
  const isBind = (options: string[] | undefined): boolean =>
    options?.some((option) => option === "bind" || option === "rbind") ?? false;
  const owned = spec.mounts?.findLast((mount) => rootPath(mount.destination) === "/dev");
  if (owned && (owned.type === "bind" || isBind(owned.options))) return;
  const asked = spec.linux?.devices ?? [];
  const paths = new Set(asked.map((device) => rootPath(device.path)));
  const bind = spec.linux?.namespaces?.some(({ type }) => type === "user") ?? false;
  const all = [...DEFAULT_DEVICES.filter(({ path }) => !paths.has(path)), ...asked];
  /* The node of a directory after the other, so that the directory is looked up once. */
  const directories = new Map<string, Device[]>();
  for (const device of all) {
    const directory = posix.dirname(rootPath(device.path));
    directories.set(directory, [...(directories.get(directory) ?? []), device]);
  }
  for (const devices of directories.values()) for (const device of devices) addDevice(plan, device, bind);
  for (const [name, target] of LINKS) plan.add("symlink", { directory: "/dev", name, target });
}
