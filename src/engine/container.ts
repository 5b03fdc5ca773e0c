/**
 * A container of a pod.
 *
 *   (nothing) ──create──▶ created ──start──▶ running ──exit──▶ exited ──remove──▶ (nothing)
 *                            └── start failed ──────────────────▲
 *   unknown: its shim cannot be asked, so neither running nor exited can be said.
 */
import type { NamespaceOptions, PodSandboxMetadata } from "./pod-sandbox.ts";
import type { LinuxResources } from "./resources.ts";
import type { SecurityProfile, SelinuxLabel } from "./security.ts";
import type { IdMapping } from "./pod-sandbox.ts";

export interface ContainerMetadata {
  name: string;
  attempt: number;
}

/** What was asked for as the image; `image` is what the kubelet resolved, usually an image id. */
export interface ImageSpec {
  image: string;
  annotations: Record<string, string>;
  userSpecifiedImage: string;
  runtimeHandler: string;
  imageRef: string;
}

export type MountPropagation = "private" | "host-to-container" | "bidirectional";

export interface ContainerMount {
  containerPath: string;
  /** Empty for an image mount. */
  hostPath: string;
  readonly: boolean;
  selinuxRelabel: boolean;
  propagation: MountPropagation;
  uidMappings: IdMapping[];
  gidMappings: IdMapping[];
  recursiveReadOnly: boolean;
  image?: ImageSpec;
  imageSubPath: string;
  mountOptions: string[];
}

export interface ContainerDevice {
  containerPath: string;
  hostPath: string;
  /** Of "r", "w", "m". */
  permissions: string;
}

export interface ContainerSecurity {
  addCapabilities: string[];
  dropCapabilities: string[];
  addAmbientCapabilities: string[];
  privileged: boolean;
  namespaces?: NamespaceOptions;
  selinux?: SelinuxLabel;
  runAsUser?: number;
  runAsGroup?: number;
  /** Empty: not given. */
  runAsUsername: string;
  readonlyRootfs: boolean;
  supplementalGroups: number[];
  supplementalGroupsPolicy: "merge" | "strict";
  noNewPrivs: boolean;
  maskedPaths: string[];
  readonlyPaths: string[];
  seccomp?: SecurityProfile;
  apparmor?: SecurityProfile;
}

/** Nothing asked for: the defaults of an unprivileged container. */
export const NO_SECURITY: ContainerSecurity = {
  addCapabilities: [],
  dropCapabilities: [],
  addAmbientCapabilities: [],
  privileged: false,
  runAsUsername: "",
  readonlyRootfs: false,
  supplementalGroups: [],
  supplementalGroupsPolicy: "merge",
  noNewPrivs: false,
  maskedPaths: [],
  readonlyPaths: [],
};

export interface ContainerConfig {
  metadata: ContainerMetadata;
  image: ImageSpec;
  command: string[];
  args: string[];
  workingDir: string;
  env: { key: string; value: string }[];
  mounts: ContainerMount[];
  devices: ContainerDevice[];
  cdiDevices: string[];
  labels: Record<string, string>;
  annotations: Record<string, string>;
  /** Relative to the pod's log directory; empty: no log. */
  logPath: string;
  stdin: boolean;
  stdinOnce: boolean;
  tty: boolean;
  resources?: LinuxResources;
  security: ContainerSecurity;
  /** "SIGTERM" form, or empty for the image's. */
  stopSignal: string;
}

/** One of the container's mounts that is an image. */
export interface ImageVolume {
  /** Which of `config.mounts`. */
  mount: number;
  /** Identity of the image. */
  imageId: string;
}

export type ContainerState = "created" | "running" | "exited" | "unknown";

export interface Container {
  id: string;
  podSandboxId: string;
  podMetadata: PodSandboxMetadata;
  config: ContainerConfig;
  /** Identity of the image: sha256 of its configuration. */
  imageId: string;
  /** Digested reference of the image, or its id where it has none. */
  imageRef: string;
  /** Absent: none. */
  imageVolumes?: ImageVolume[];
  /** Volumes that the image declares and has no directory for. Absent: none. */
  missingVolumes?: string[];
  /** Name of the handler whose external runtime runs it. Absent: Gantry's own executor. */
  externalHandler?: string;
  state: ContainerState;
  /** Nanoseconds since the epoch; 0 for what has not happened. */
  createdAtNs: bigint;
  startedAtNs: bigint;
  finishedAtNs: bigint;
  exitCode: number;
  /** "Completed", "Error", "OOMKilled", "ContainerStatusUnknown" or, for a failed start, "StartError"; empty before. */
  reason: string;
  message: string;
  /** Absolute host path; empty: none. */
  logPath: string;
  /** Effective resources, as created and updated. */
  resources: LinuxResources;
  /** Identity first given to the init process. */
  user: { uid: number; gid: number; supplementalGroups: number[] };
  /** Effective stop signal, "SIGTERM" form. */
  stopSignal: string;
  /** Pid of init on the host while running. */
  pid?: number;
}

export interface ContainerFilter {
  /** Full id or unique prefix. */
  id?: string;
  state?: ContainerState;
  podSandboxId?: string;
  labels?: Record<string, string>;
}
