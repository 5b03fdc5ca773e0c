/**
 * The list of mounts of a container: the kernel's filesystems, the pod's files, and what was asked for, in the
 * order in which they are made. A mount that is asked for replaces a default one on the same destination, and one
 * on /dev replaces all defaults below /dev.
 */
import { GantryError } from "../base/errors.ts";
import { hostId } from "./plan-host-phase.ts";
import { checkBindOptions } from "./plan-mount-options.ts";
import { rootPath, SUB_PATH_OPTION } from "./plan-mounts.ts";
import type { Mount } from "./runtime-spec.ts";
import {
  CGROUP_READONLY_MOUNT,
  CGROUP_WRITABLE_MOUNT,
  DEV_MOUNT,
  DEVPTS_MOUNT,
  hostBind,
  MQUEUE_MOUNT,
  PROC_MOUNT,
  SHM_MOUNT,
  SYSFS_READONLY_MOUNT,
  SYSFS_WRITABLE_MOUNT,
} from "./spec-defaults.ts";
import type { SpecInput, SpecMount } from "./spec-input.ts";

const PROPAGATION_OPTION = {
  private: "rprivate",
  "host-to-container": "rslave",
  bidirectional: "rshared",
} as const;

/** @throws GantryError invalid-argument for a destination that is not absolute or is the root. */
export function specMounts(input: SpecInput): Mount[] {
  const asked = input.mounts.map((mount) => (mount.image ? imageMount(mount) : bindMount(mount)));
  const taken = new Set(asked.map((mount) => mount.destination));
  const ownsDev = taken.has("/dev");
  const defaults = kernelMounts(input).filter(
    ({ destination }) => !taken.has(destination) && !(ownsDev && destination.startsWith("/dev/")),
  );
  const files = input.podFiles
    .filter(({ destination }) => !taken.has(destination))
    .map(({ destination, source, readonly }) => ({
      destination,
      type: "bind",
      source,
      options: ["rbind", "rprivate", readonly ? "ro" : "rw"],
    }));
  const depth = (mount: Mount): number => mount.destination.split("/").length;
  return [...defaults, ...[...files, ...asked].sort((a, b) => depth(a) - depth(b))];
}

/** How changes of mounts on the host reach the container's root: what the widest of its mounts needs. */
export function rootfsPropagation(mounts: readonly SpecMount[]): "rprivate" | "rslave" | "rshared" {
  if (mounts.some((mount) => mount.propagation === "bidirectional")) return "rshared";
  if (mounts.some((mount) => mount.propagation === "host-to-container")) return "rslave";
  return "rprivate";
}

function kernelMounts(input: SpecInput): Mount[] {
  const { namespaces, privileged } = input;
  const inUserNamespace = namespaces.user !== undefined && namespaces.user !== "host";
  const isHost = (type: "network" | "pid" | "ipc"): boolean => (namespaces[type] ?? "host") === "host";
  const cgroupWritable = input.cgroupWritable ?? privileged;
  const shm: Mount = input.shmSource
    ? {
        destination: "/dev/shm",
        type: "bind",
        source: input.shmSource,
        options: ["rbind", "rprivate", "nosuid", "noexec", "nodev", "rw"],
      }
    : SHM_MOUNT;
  return [
    inUserNamespace && isHost("pid") ? hostBind("/proc", false) : PROC_MOUNT,
    DEV_MOUNT,
    devptsMount(input),
    inUserNamespace && isHost("ipc") ? hostBind("/dev/mqueue", false) : MQUEUE_MOUNT,
    shm,
    inUserNamespace && isHost("network")
      ? hostBind("/sys", !privileged)
      : privileged
        ? SYSFS_WRITABLE_MOUNT
        : SYSFS_READONLY_MOUNT,
    cgroupWritable ? CGROUP_WRITABLE_MOUNT : CGROUP_READONLY_MOUNT,
  ];
}

/** Group 5 is the terminals' by custom, where the user namespace has it. */
function devptsMount({ gidMappings }: SpecInput): Mount {
  if (!gidMappings?.length || hostId(gidMappings, 5) !== undefined) return DEVPTS_MOUNT;
  const options = (DEVPTS_MOUNT.options ?? []).filter((option) => option !== "gid=5");
  return { ...DEVPTS_MOUNT, options };
}

function bindMount(mount: SpecMount): Mount {
  const destination = cleanDestination(mount.destination);
  if (mount.recursiveReadonly && (!mount.readonly || mount.propagation !== "private")) {
    throw new GantryError(
      "invalid-argument",
      `mount on ${destination}: recursive read-only needs a read-only mount with private propagation`,
    );
  }
  checkBindOptions(mount.options, mount.readonly, `mount on ${destination}`);
  const access = mount.recursiveReadonly ? ["ro", "rro"] : [mount.readonly ? "ro" : "rw"];
  return {
    destination,
    type: "bind",
    source: mount.source,
    options: ["rbind", PROPAGATION_OPTION[mount.propagation], ...access, ...mount.options],
    ...(mount.uidMappings?.length ? { uidMappings: mount.uidMappings } : {}),
    ...(mount.gidMappings?.length ? { gidMappings: mount.gidMappings } : {}),
  };
}

/** A volume out of an image, which nothing can be written to. */
function imageMount(mount: SpecMount): Mount {
  const destination = cleanDestination(mount.destination);
  if (destination === "/proc" || destination.startsWith("/proc/"))
    throw new GantryError("invalid-argument", `mount on ${destination}: an image cannot stand for procfs`);
  checkBindOptions(mount.options, true, `mount on ${destination}`);
  const part = mount.image?.subPath ? [`${SUB_PATH_OPTION}${mount.image.subPath}`] : [];
  return { destination, type: "image", source: mount.source, options: ["ro", ...mount.options, ...part] };
}

function cleanDestination(path: string): string {
  const clean = path.startsWith("/") ? rootPath(path, "mount destination") : "/";
  if (clean === "/") {
    throw new GantryError(
      "invalid-argument",
      `mount destination ${JSON.stringify(path)} is not an absolute path below the root`,
    );
  }
  return clean;
}
