/**
 * A pod sandbox: the namespaces, network, cgroup parent and files that the containers of a pod share.
 *
 *   (nothing) ──runPodSandbox──▶ ready ──stopPodSandbox──▶ notready ──removePodSandbox──▶ (nothing)
 *                                  └── its pause process died, or the host rebooted ──▶ notready
 *
 * The record below is what is kept in the store; it is written once everything that it names exists.
 */
import type { LinuxResources } from "./resources.ts";
import type { SecurityProfile, SelinuxLabel } from "./security.ts";

/** `target` is for a container's PID namespace only. */
export type NamespaceMode = "pod" | "container" | "node" | "target";

export interface NamespaceOptions {
  /** "pod" or "node". */
  network: NamespaceMode;
  pid: NamespaceMode;
  /** "pod" or "node". */
  ipc: NamespaceMode;
  /** Container id, with pid mode "target". */
  targetId: string;
  /** Undefined or mode "node": no user namespace. */
  user?: { mode: "pod" | "node"; uids: IdMapping[]; gids: IdMapping[] };
}

export interface IdMapping {
  hostId: number;
  containerId: number;
  length: number;
}

export interface PodSandboxMetadata {
  name: string;
  uid: string;
  namespace: string;
  attempt: number;
}

export interface PortMapping {
  protocol: "tcp" | "udp" | "sctp";
  containerPort: number;
  /** 0: the container port is not mapped. */
  hostPort: number;
  hostIp: string;
}

export interface DnsConfig {
  servers: string[];
  searches: string[];
  options: string[];
}

export interface PodSandboxConfig {
  metadata: PodSandboxMetadata;
  /** Empty with the host's network. */
  hostname: string;
  /** Absolute host path, or empty: no logs are written. */
  logDirectory: string;
  /** Undefined: the host's resolv.conf. */
  dns?: DnsConfig;
  portMappings: PortMapping[];
  labels: Record<string, string>;
  /** Returned as they are; they change no behaviour. */
  annotations: Record<string, string>;
  /** Path below the cgroup root, or empty for the daemon's default. */
  cgroupParent: string;
  sysctls: Record<string, string>;
  namespaces: NamespaceOptions;
  privileged: boolean;
  readonlyRootfs: boolean;
  seccomp?: SecurityProfile;
  apparmor?: SecurityProfile;
  selinux?: SelinuxLabel;
  overhead?: LinuxResources;
  resources?: LinuxResources;
}

export type PodSandboxState = "ready" | "notready";

export interface PodSandbox {
  id: string;
  config: PodSandboxConfig;
  runtimeHandler: string;
  state: PodSandboxState;
  /** Nanoseconds since the epoch. */
  createdAtNs: bigint;
  /** Primary address first; empty for the host's network. */
  ips: string[];
  /** Host path of the pinned network namespace; undefined for the host's. */
  netnsPath?: string;
  /** Two categories that no other pod has; undefined where the kernel has no SELinux. */
  selinuxLevel?: string;
  /** Pid of the built-in pause process of a shared PID namespace. */
  pausePid?: number;
  /** Overhead and resources as last told by an update; before one, those of `config` hold. */
  overhead?: LinuxResources;
  resources?: LinuxResources;
}

export interface PodSandboxFilter {
  /** Full id or unique prefix. */
  id?: string;
  state?: PodSandboxState;
  /** All of them must be equal. */
  labels?: Record<string, string>;
}
