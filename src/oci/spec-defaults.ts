/**
 * The parts of a container's configuration that are the same for all: frozen, and shared by every spec that is
 * generated. Lists follow the defaults of the common engines, so that images find what they are used to.
 */
import type { DeviceRule, Mount } from "./runtime-spec.ts";

export const OCI_VERSION = "1.3.0";

export const DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}

/** Kernel files that tell about, or act on, the host. */
export const DEFAULT_MASKED_PATHS: readonly string[] = deepFreeze([
  "/proc/acpi",
  "/proc/asound",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/sys/devices/virtual/powercap",
  "/sys/firmware",
]);

export const DEFAULT_READONLY_PATHS: readonly string[] = deepFreeze([
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger",
]);

export const PROC_MOUNT: Mount = deepFreeze({
  destination: "/proc",
  type: "proc",
  source: "proc",
  options: ["nosuid", "noexec", "nodev"],
});

export const DEV_MOUNT: Mount = deepFreeze({
  destination: "/dev",
  type: "tmpfs",
  source: "tmpfs",
  options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
});

export const DEVPTS_MOUNT: Mount = deepFreeze({
  destination: "/dev/pts",
  type: "devpts",
  source: "devpts",
  options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
});

export const MQUEUE_MOUNT: Mount = deepFreeze({
  destination: "/dev/mqueue",
  type: "mqueue",
  source: "mqueue",
  options: ["nosuid", "noexec", "nodev"],
});

export const SHM_MOUNT: Mount = deepFreeze({
  destination: "/dev/shm",
  type: "tmpfs",
  source: "shm",
  options: ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
});

export const SYSFS_READONLY_MOUNT: Mount = deepFreeze({
  destination: "/sys",
  type: "sysfs",
  source: "sysfs",
  options: ["nosuid", "noexec", "nodev", "ro"],
});

export const SYSFS_WRITABLE_MOUNT: Mount = deepFreeze({
  destination: "/sys",
  type: "sysfs",
  source: "sysfs",
  options: ["nosuid", "noexec", "nodev", "rw"],
});

export const CGROUP_READONLY_MOUNT: Mount = deepFreeze({
  destination: "/sys/fs/cgroup",
  type: "cgroup",
  source: "cgroup",
  options: ["nosuid", "noexec", "nodev", "relatime", "ro"],
});

export const CGROUP_WRITABLE_MOUNT: Mount = deepFreeze({
  destination: "/sys/fs/cgroup",
  type: "cgroup",
  source: "cgroup",
  options: ["nosuid", "noexec", "nodev", "relatime", "rw"],
});

/**
 * The host's own directory, for a filesystem that a user namespace may not mount over a namespace of the host; without
 * what is mounted below it there.
 */
export function hostBind(path: string, readonly: boolean): Mount {
  const options = ["bind", "rprivate", "nosuid", "noexec", "nodev", readonly ? "ro" : "rw"];
  return { destination: path, type: "bind", source: path, options };
}

/**
 * Devices that every container may use, after everything was denied: mknod of any, and the standard ones
 * (config-linux.md, "Default Devices"), terminals and their multiplexer.
 */
export const DEFAULT_DEVICE_RULES: readonly DeviceRule[] = deepFreeze([
  { allow: true, type: "c", access: "m" },
  { allow: true, type: "b", access: "m" },
  { allow: true, type: "c", major: 1, minor: 3, access: "rwm" },
  { allow: true, type: "c", major: 1, minor: 5, access: "rwm" },
  { allow: true, type: "c", major: 1, minor: 7, access: "rwm" },
  { allow: true, type: "c", major: 1, minor: 8, access: "rwm" },
  { allow: true, type: "c", major: 1, minor: 9, access: "rwm" },
  { allow: true, type: "c", major: 5, minor: 0, access: "rwm" },
  { allow: true, type: "c", major: 5, minor: 1, access: "rwm" },
  { allow: true, type: "c", major: 5, minor: 2, access: "rwm" },
  { allow: true, type: "c", major: 136, access: "rwm" },
]);

export const DENY_ALL_DEVICES: DeviceRule = deepFreeze({ allow: false, access: "rwm" });
export const ALLOW_ALL_DEVICES: DeviceRule = deepFreeze({ allow: true, access: "rwm" });

/** Deny, then the default devices: the whole list of a container that asks for none. */
export const RESTRICTED_DEVICES: readonly DeviceRule[] = deepFreeze([
  DENY_ALL_DEVICES,
  ...DEFAULT_DEVICE_RULES,
]);
