/**
 * Binding of the addon's namespaces without a process: network, IPC, UTS and user namespaces that a bind mount keeps
 * alive. A user namespace owns those that are made with it.
 *
 *   DIRECTORY/net   DIRECTORY/ipc   DIRECTORY/uts   DIRECTORY/user   each the namespace itself, for setns and for a
 *   spec's `path`
 *
 * Pins live until `unpinNamespaces`; they survive the daemon, and are gone after a reboot.
 */
import { closeSync, constants, mkdirSync, openSync, rmdirSync } from "node:fs";
import { errnoCode, GantryError, wrapError } from "../base/errors.ts";
import { addon } from "./addon.ts";
import { writeSysctls, type SysctlWrite } from "./netlink.ts";

interface NamespaceBinding {
  pinNamespaces(
    directory: string,
    net: boolean,
    ipc: boolean,
    uts: boolean,
    hostname: string,
    loopback: boolean,
    sysctls: string[],
    uidMap: string,
    gidMap: string,
  ): Promise<void>;
  unpinNamespaces(directory: string): Promise<void>;
  namespaceInode(path: string): bigint;
}

const native = addon as NamespaceBinding;

/** Ids of the kernel's for ids in a user namespace, the fields of uid_map (user_namespaces(7)). */
export interface IdRange {
  containerID: number;
  hostID: number;
  size: number;
}

export interface NamespacePins {
  /** Absolute; created with mode 0700 if missing (its parent exists). Not a symlink. */
  directory: string;
  net: boolean;
  ipc: boolean;
  uts: boolean;
  /** At most 64 bytes; only with `uts`. Absent or empty: that of the host. */
  hostname?: string;
  /** Brings `lo` up; only with `net`. */
  loopback: boolean;
  /** Written inside the new namespaces: only what checkSysctls (src/base/sysctl.ts) has passed. */
  sysctls: readonly SysctlWrite[];
  /** Makes a user namespace too, in which the others are set up by its root: id 0 must be mapped. */
  user?: { uids: readonly IdRange[]; gids: readonly IdRange[] };
}

/** The kernel's limit on a host name, __NEW_UTS_LEN. */
const HOSTNAME_LIMIT_BYTES = 64;

/**
 * Makes the namespaces asked for, sets them up and pins them. When it rejects, nothing of them is left.
 *
 * @throws GantryError invalid-argument for a bad host name or a sysctl that the kernel refuses, already-exists when
 *   the directory holds pins.
 */
export async function pinNamespaces(pins: NamespacePins): Promise<void> {
  const hostname = pins.hostname ?? "";
  if (Buffer.byteLength(hostname) > HOSTNAME_LIMIT_BYTES || /[\0-\x20\x7f/]/.test(hostname)) {
    throw new GantryError("invalid-argument", `hostname ${JSON.stringify(hostname)} is not valid`);
  }
  const created = mkdirSync(pins.directory, { recursive: true, mode: 0o700 }) !== undefined;
  try {
    await native.pinNamespaces(
      pins.directory,
      pins.net,
      pins.ipc,
      pins.uts,
      hostname,
      pins.loopback,
      pins.sysctls.flat(),
      mapLines(pins.user?.uids ?? []),
      mapLines(pins.user?.gids ?? []),
    );
  } catch (error) {
    if (created) removeIfEmpty(pins.directory);
    const code = errnoCode(error);
    if (code === "EEXIST") throw wrapError(`pin namespaces in ${pins.directory}`, error, "already-exists");
    if (pins.user && (code === "ENOSPC" || code === "EUSERS"))
      throw wrapError("no more user namespaces (user.max_user_namespaces)", error, "resource-exhausted");
    if (isSysctlError(error, pins.sysctls)) throw wrapError("sysctl", error, "invalid-argument");
    throw wrapError(`pin namespaces in ${pins.directory}`, error);
  }
}

/** Releases the pins and removes the directory if nothing else is in it. What is already gone is no error. */
export async function unpinNamespaces(directory: string): Promise<void> {
  try {
    await native.unpinNamespaces(directory);
  } catch (error) {
    throw wrapError(`unpin namespaces in ${directory}`, error);
  }
  removeIfEmpty(directory);
}

/**
 * Writes sysctls in a pinned network namespace: those of an interface that exists only after the network's set-up.
 * Only what checkSysctls (src/base/sysctl.ts) has passed.
 *
 * @throws GantryError invalid-argument that names the sysctl.
 */
export async function writeNetworkSysctls(netnsPath: string, sysctls: readonly SysctlWrite[]): Promise<void> {
  if (sysctls.length === 0) return;
  const netnsFd = openSync(netnsPath, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    await writeSysctls(netnsFd, sysctls);
  } catch (error) {
    throw wrapError("sysctl", error, isSysctlError(error, sysctls) ? "invalid-argument" : "internal");
  } finally {
    closeSync(netnsFd);
  }
}

/** The inode that identifies a namespace: equal numbers, same namespace. Throws an errno error for other files. */
export function getNamespaceInode(path: string): bigint {
  return native.namespaceInode(path);
}

function mapLines(ranges: readonly IdRange[]): string {
  return ranges.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join("");
}

function isSysctlError(error: unknown, sysctls: readonly SysctlWrite[]): boolean {
  if (!(error instanceof Error) || !("path" in error)) return false;
  return sysctls.some(([path]) => path === error.path);
}

function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch (error) {
    const code = errnoCode(error);
    if (code !== "ENOENT" && code !== "ENOTEMPTY" && code !== "EBUSY") throw error;
  }
}
