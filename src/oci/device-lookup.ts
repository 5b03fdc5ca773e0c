/**
 * Devices of the host for a container: one node, the nodes below a directory, or all of /dev for a privileged
 * container. Only what is on the host is looked at, never a path inside an image.
 */
import { lstatSync, readdirSync, statSync, type Stats } from "node:fs";
import { join, posix } from "node:path";
import { errnoCode, GantryError } from "../base/errors.ts";
import type { Device, Mount } from "./runtime-spec.ts";
import type { SpecDevice } from "./spec-input.ts";

/** Made for each container anew, and its own: never the host's. */
const OWN_OF_CONTAINER = new Set(["/dev/console", "/dev/ptmx"]);
const OWN_DIRECTORIES = new Set([
  "/dev/pts",
  "/dev/shm",
  "/dev/mqueue",
  "/dev/fd",
  "/dev/.lxc",
  "/dev/.lxd-mounts",
  "/dev/.udev",
]);
const MAX_DEPTH = 16;

/**
 * The device at a host path, or those below it where it is a directory, as they appear below `containerPath`.
 * Symbolic links on the host are followed for the path itself.
 * @param permissions of "r", "w", "m"; empty: all.
 * @throws GantryError invalid-argument for bad permissions, a relative path, and what is no device; not-found.
 */
export function lookupDevices(hostPath: string, containerPath: string, permissions: string): SpecDevice[] {
  const access = permissions === "" ? "rwm" : permissions;
  if (!/^[rwm]{1,3}$/.test(access) || new Set(access).size !== access.length) {
    throw new GantryError(
      "invalid-argument",
      `device ${hostPath}: permissions ${JSON.stringify(permissions)}`,
    );
  }
  for (const path of [hostPath, containerPath]) {
    if (!path.startsWith("/") || path.includes("\0") || path.split("/").includes("..")) {
      throw new GantryError(
        "invalid-argument",
        `device path ${JSON.stringify(path)} is not an absolute path without ".."`,
      );
    }
  }
  let stats: Stats;
  try {
    stats = statSync(hostPath);
  } catch (error) {
    const kind = errnoCode(error) === "ENOENT" ? "not-found" : "invalid-argument";
    throw new GantryError(kind, `device ${hostPath}: ${errnoCode(error) ?? String(error)}`, { cause: error });
  }
  if (stats.isDirectory()) return devicesBelow(hostPath, posix.normalize(containerPath), access, 0);
  const device = specDevice(stats, posix.normalize(containerPath), access);
  if (!device) throw new GantryError("invalid-argument", `device ${hostPath} is not a device`);
  return [device];
}

/** All of the host's devices, for a privileged container. What vanishes meanwhile is left out. */
export function hostDevices(): SpecDevice[] {
  return devicesBelow("/dev", "/dev", "rwm", 0);
}

function devicesBelow(
  hostDirectory: string,
  containerDirectory: string,
  access: string,
  depth: number,
): SpecDevice[] {
  if (depth > MAX_DEPTH) return [];
  return readdirSync(hostDirectory, { withFileTypes: true }).flatMap((entry) => {
    const hostPath = join(hostDirectory, entry.name);
    const containerPath = join(containerDirectory, entry.name);
    if (entry.isDirectory()) {
      return OWN_DIRECTORIES.has(hostPath) ? [] : devicesBelow(hostPath, containerPath, access, depth + 1);
    }
    if (OWN_OF_CONTAINER.has(hostPath) || !(entry.isCharacterDevice() || entry.isBlockDevice())) return [];
    const stats = lstatSync(hostPath, { throwIfNoEntry: false });
    const device = stats && specDevice(stats, containerPath, access);
    return device ? [device] : [];
  });
}

function specDevice(stats: Stats, path: string, access: string): SpecDevice | undefined {
  const type = stats.isCharacterDevice() ? "c" : stats.isBlockDevice() ? "b" : undefined;
  if (!type) return undefined;
  const { major, minor } = deviceNumbers(stats.rdev);
  return {
    device: { type, path, major, minor, fileMode: stats.mode & 0o7777, uid: stats.uid, gid: stats.gid },
    rule: { allow: true, type, major, minor, access },
  };
}

/**
 * Mounts of the host's nodes in place of new ones, for a container whose user namespace may make none. A node keeps its
 * owner and mode, and so whom the host's own would let in.
 * @throws GantryError failed-precondition for a device that the host has no node of.
 */
export function deviceBinds(devices: readonly Device[]): Mount[] {
  let all: SpecDevice[] | undefined;
  return devices.map(({ path, type, major, minor }) => {
    const isSame = ({ device }: SpecDevice): boolean =>
      device.type === (type === "u" ? "c" : type) && device.major === major && device.minor === minor;
    const stats = statSync(path, { throwIfNoEntry: false });
    const own = stats && specDevice(stats, path, "");
    const source = own && isSame(own) ? path : (all ??= hostDevices()).find(isSame)?.device.path;
    if (source === undefined)
      throw new GantryError(
        "failed-precondition",
        `device ${path}: the host has no node ${major}:${minor}, and none can be made in a user namespace`,
      );
    return { destination: path, type: "bind", source, options: ["bind", "rprivate", "nosuid", "noexec"] };
  });
}

/** As glibc's gnu_dev_major and gnu_dev_minor. */
export function deviceNumbers(rdev: number): { major: number; minor: number } {
  const low = (rdev % 2 ** 32) >>> 0;
  const high = Math.floor(rdev / 2 ** 32);
  return {
    major: ((low >>> 8) & 0xfff) + (high & 0xfffff000),
    minor: (low & 0xff) + ((low >>> 12) & 0xfff00),
  };
}
