/**
 * The few things that a pod needs of the host's kernel, as an interface, so that the engine's tests need no root.
 * The real one is made of the native bindings (pod-host-linux.ts).
 */

import type { Duplex } from "node:stream";
import type { SysctlWrite } from "../native/netlink.ts";
import type { PodIdMaps } from "./pod-user-namespace.ts";

export interface PinnedNamespaces {
  net: boolean;
  ipc: boolean;
  uts: boolean;
  /** Set in the new UTS namespace. */
  hostname: string;
  /** Written in the new namespaces; already checked. */
  sysctls: readonly SysctlWrite[];
  /** A user namespace with these maps, which owns the others. */
  user?: PodIdMaps;
}

export interface PodHost {
  /** Makes the namespaces and pins each on a file of its type's name in the directory. All or nothing. */
  pinNamespaces(directory: string, namespaces: PinnedNamespaces): Promise<void>;
  /** Idempotent; what is not pinned is skipped. */
  unpinNamespaces(directory: string): Promise<void>;
  /** Writes sysctls of interfaces that are there by now. */
  writeNetworkSysctls(netnsPath: string, sysctls: readonly SysctlWrite[]): Promise<void>;
  /** @param owner of its root directory; undefined: root. */
  mountShm(target: string, sizeBytes: number, owner: { uid: number; gid: number } | undefined): Promise<void>;
  /** Idempotent. */
  unmount(target: string): Promise<void>;
  /** Connects to a TCP port of the loopback addresses in a network namespace; undefined: the host's. */
  connectLoopback(
    netnsPath: string | undefined,
    port: number,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<Duplex>;
  /** Whether the namespace file is still pinned (false after a reboot). */
  isPinned(path: string): boolean;
}
