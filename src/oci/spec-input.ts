/**
 * What is asked of a container, in words that no front end owns: the input of generateSpec.
 *
 * It is complete and resolved: users are numbers (user-lookup.ts), devices have been looked at on the host
 * (device-lookup.ts), profiles have been read. generateSpec reads no file; what depends on the host comes in
 * through HostLimits. Optional fields that are absent mean "the default", an empty list means "none".
 */
import type { DeviceRule, Device, IdMapping, NamespaceType, Seccomp } from "./runtime-spec.ts";

export interface SpecInput {
  process: SpecProcess;
  /** Every restriction off: all capabilities and devices, no seccomp, nothing masked, writable /sys. */
  privileged: boolean;
  rootfs: {
    /** Host path for external runtimes; the plan takes the snapshotter's mount instead. */
    path: string;
    readonly: boolean;
  };
  /** Of a UTS namespace that is new; for a joined one it has been set already. */
  hostname?: string;
  domainname?: string;
  /** A type that is absent is "host", except the mount namespace, which is always new. */
  namespaces: Partial<Record<NamespaceType, NamespaceChoice>>;
  /** With namespaces.user "new". */
  uidMappings?: IdMapping[];
  gidMappings?: IdMapping[];
  /** Absent: DEFAULT_MASKED_PATHS. */
  maskedPaths?: string[];
  /** Absent: DEFAULT_READONLY_PATHS. */
  readonlyPaths?: string[];
  seccomp: SeccompChoice;
  /** In any order; a mount on a default one's destination replaces it. */
  mounts: SpecMount[];
  /** Files of the pod (/etc/hosts, /etc/hostname, /etc/resolv.conf), used unless `mounts` has that destination. */
  podFiles: { destination: string; source: string; readonly: boolean }[];
  /** Host directory bound on /dev/shm; absent: a tmpfs of 64 MiB of the container's own. */
  shmSource?: string;
  devices: SpecDevice[];
  resources: ResourceLimits;
  /** Absolute, as CgroupManager.containerPath gives it. */
  cgroupsPath: string;
  /** Absent: read-only, or writable where privileged. */
  cgroupWritable?: boolean;
  /** Checked against the namespaces: what is not the container's own cannot be set. */
  sysctls: Record<string, string>;
  /** OCI annotations. Never those of a pod: external runtimes give some of them a meaning (CVE-2024-3154). */
  annotations: Record<string, string>;
}

export interface SpecProcess {
  args: string[];
  /** "KEY=value", of image and container in this order: a later entry replaces an earlier one of its key. */
  env: string[];
  /** Empty: "/". */
  cwd: string;
  terminal: boolean;
  user: { uid: number; gid: number; additionalGids: number[] };
  /** HOME where `env` has none; ResolvedUser.home. */
  home?: string;
  capabilities: { add: string[]; drop: string[]; addAmbient: string[] };
  noNewPrivileges: boolean;
  apparmorProfile?: string;
  selinuxLabel?: string;
  mountLabel?: string;
  rlimits?: { type: string; hard: number; soft: number }[];
}

/** Own, the host's, or the one pinned at a host path ("/proc/PID/ns/pid", "/run/…/netns"). */
export type NamespaceChoice = "new" | "host" | { path: string };

/** "default" is the built-in profile for the container's capabilities (seccomp-default-profile.ts). */
export type SeccompChoice =
  { kind: "unconfined" } | { kind: "default" } | { kind: "profile"; profile: Seccomp };

export interface SpecMount {
  /** Absolute path in the container. */
  destination: string;
  /** Host path, existing; for an image the name that the plan's `images` has it under. */
  source: string;
  /** The source is an image, of which `subPath` is mounted, or all of it where that is empty. */
  image?: { subPath: string };
  readonly: boolean;
  /** Also for the mounts below; needs `readonly` and private propagation. */
  recursiveReadonly: boolean;
  propagation: "private" | "host-to-container" | "bidirectional";
  /** Further OCI mount options: "noexec", "nosuid", "size=…". */
  options: string[];
  uidMappings?: IdMapping[];
  gidMappings?: IdMapping[];
}

export interface SpecDevice {
  /** `path` is the one in the container. */
  device: Device;
  rule: DeviceRule;
}

/** Limits as the CRI states them (LinuxContainerResources). Zero and empty mean "not given". */
export interface ResourceLimits {
  cpuPeriodUs: number;
  /** Negative: no quota. */
  cpuQuotaUs: number;
  cpuShares: number;
  memoryLimitBytes: number;
  /** Memory and swap together; not given: no swap beyond the memory limit. */
  memorySwapLimitBytes: number;
  oomScoreAdj: number;
  cpusetCpus: string;
  cpusetMems: string;
  hugepageLimits: { pageSize: string; limitBytes: number }[];
  unified: Record<string, string>;
}
