/** What pods need of the host's kernel, on Linux: the native bindings. */
import { connectLoopback } from "../native/loopback-connect.ts";
import { isMountPoint, mountTmpfs, unmount } from "../native/mount.ts";
import { pinNamespaces, unpinNamespaces, writeNetworkSysctls } from "../native/namespace.ts";
import type { PodHost } from "./pod-host.ts";

export const linuxPodHost: PodHost = {
  pinNamespaces: (directory, namespaces) =>
    pinNamespaces({ directory, ...namespaces, loopback: namespaces.net }),
  unpinNamespaces,
  writeNetworkSysctls,
  mountShm: (target, sizeBytes, owner) =>
    mountTmpfs(target, { sizeBytes, mode: 0o1777, nosuid: true, nodev: true, noexec: true, ...owner }),
  unmount,
  connectLoopback,
  isPinned: isMountPoint,
};
