/**
 * The engine: pods, containers, exec and stats, without any front end's types.
 *
 * Ids may be given as a unique prefix wherever one thing is named. Every call that waits takes the client's signal.
 * A call repeated while it runs joins the running one; repeated after it finished, it gives the finished result.
 * Errors are GantryErrors.
 */
import type { Duplex } from "node:stream";
import type { ImageService } from "../image/image.ts";
import type { ExternalRuntime } from "../oci/external/external-runtime.ts";
import type { ProcessSession } from "../shim/shim.ts";
import type { Container, ContainerConfig, ContainerFilter } from "./container.ts";
import type { LifecycleEvent } from "./events.ts";
import type { PodSandbox, PodSandboxConfig, PodSandboxFilter } from "./pod-sandbox.ts";
import type {
  ContainerStatsFilter,
  ContainerUsage,
  PodMeasures,
  PodStatsFilter,
  PodUsage,
  LinuxResources,
} from "./resources.ts";

// Front ends know the engine only, and so take these from here.
export type { ImageRecord, ImageService, RegistryAuth } from "../image/image.ts";
export type { ProcessSession } from "../shim/shim.ts";

export interface ExecSyncResult {
  /** At most 16 MiB; what came after is discarded. */
  stdout: Uint8Array;
  stderr: Uint8Array;
  exitCode: number;
}

export interface ExecOptions {
  command: string[];
  terminal: boolean;
  /** A way to its standard input; else it reads nothing. */
  stdin: boolean;
}

export interface EngineCondition {
  ok: boolean;
  /** CamelCase, empty when ok. */
  reason: string;
  message: string;
}

export interface EngineStatus {
  runtime: EngineCondition;
  network: EngineCondition;
}

export interface RuntimeHandlerInfo {
  /** "" is the default handler. */
  name: string;
  recursiveReadOnlyMounts: boolean;
  userNamespaces: boolean;
  /** Absent: the defaults. */
  options?: RuntimeHandlerOptions;
  /** The program that runs its containers; absent: Gantry's own executor. */
  external?: ExternalRuntime;
  /** ociVersionMax of the program. */
  ociVersionMax?: string;
}

export interface RuntimeHandlerOptions {
  /** Keys, or beginnings of keys with "*" at the end, that OCI configurations get. */
  podAnnotations: readonly string[];
  containerAnnotations: readonly string[];
  privilegedWithoutHostDevices: boolean;
}

export interface Engine {
  readonly images: ImageService;

  /** Makes the sandbox and returns its id. The same metadata again gives the same id while that sandbox is ready. */
  runPodSandbox(config: PodSandboxConfig, runtimeHandler: string, signal: AbortSignal): Promise<string>;
  /** Kills its containers and gives up its network. Unknown ids are no error. */
  stopPodSandbox(id: string, signal: AbortSignal): Promise<void>;
  /** Stops if need be, removes its containers and itself. Unknown ids are no error. */
  removePodSandbox(id: string, signal: AbortSignal): Promise<void>;
  /** @throws not-found. */
  podSandbox(id: string): PodSandbox;
  listPodSandboxes(filter: PodSandboxFilter): PodSandbox[];

  /** Same metadata again in the same pod gives the same id while that container is only created. */
  createContainer(podSandboxId: string, config: ContainerConfig, signal: AbortSignal): Promise<string>;
  /** One that runs already is no error: the call was repeated. @throws failed-precondition for an exited one. */
  startContainer(id: string, signal: AbortSignal): Promise<void>;
  /** Sends the stop signal, and SIGKILL after the timeout (0: at once). Unknown ids and exited ones are no error. */
  stopContainer(id: string, timeoutMs: number, signal: AbortSignal): Promise<void>;
  /** Kills if running. Unknown ids are no error. */
  removeContainer(id: string, signal: AbortSignal): Promise<void>;
  /** @throws not-found. */
  container(id: string): Container;
  listContainers(filter: ContainerFilter): Container[];

  /**
   * New limits for a container that is created or runs, all or none; zero and empty mean "unchanged".
   * @throws not-found, failed-precondition, invalid-argument.
   */
  updateContainerResources(id: string, resources: LinuxResources, signal: AbortSignal): Promise<void>;
  /**
   * Remembers what the client has set for the pod's cgroup, which is the client's own; undefined leaves what was.
   * @throws not-found.
   */
  updatePodSandboxResources(
    id: string,
    change: { overhead?: LinuxResources; resources?: LinuxResources },
    signal: AbortSignal,
  ): Promise<void>;

  /** @param timeoutMs 0: none. @throws deadline-exceeded, after the process was killed. */
  execSync(id: string, command: string[], timeoutMs: number, signal: AbortSignal): Promise<ExecSyncResult>;
  /**
   * Runs a command with its streams at the caller's. Closing the session, or an abort of the signal before it is
   * there, kills the command. @throws not-found, failed-precondition unless the container runs.
   */
  exec(id: string, options: ExecOptions, signal: AbortSignal): Promise<ProcessSession>;
  /** Joins the streams of a running container. Closing the session leaves it as it is. @throws as exec. */
  attach(id: string, signal: AbortSignal): Promise<ProcessSession>;
  /**
   * Connects to a TCP port of the loopback addresses inside the pod. The caller owns the connection.
   *
   * @throws not-found, failed-precondition unless the sandbox is ready, unavailable where nothing listens.
   */
  portForward(podSandboxId: string, port: number, signal: AbortSignal): Promise<Duplex>;
  /** @throws failed-precondition unless running. */
  reopenContainerLog(id: string): Promise<void>;

  /**
   * Each change in the life of a pod or container from this call on, until the signal aborts. Nothing is replayed.
   * @throws resource-exhausted, in the iteration, for a reader that does not keep up.
   */
  events(signal: AbortSignal): AsyncIterable<LifecycleEvent>;

  /** @throws not-found. */
  containerStats(id: string): Promise<ContainerUsage>;
  /** Of running containers, in portions. */
  listContainerStats(filter: ContainerStatsFilter, signal: AbortSignal): AsyncIterable<ContainerUsage[]>;
  /** @throws not-found. */
  podStats(id: string): Promise<PodUsage>;
  /** Of ready pods with their running containers, in portions. */
  listPodStats(filter: PodStatsFilter, signal: AbortSignal): AsyncIterable<PodUsage[]>;
  /** Everything that is counted of ready pods and their running containers, in portions. */
  listPodMeasures(signal: AbortSignal): AsyncIterable<PodMeasures[]>;

  /** The ranges of this node's pods, "10.1.2.0/24,fd00:2::/64"; empty: no change. @throws invalid-argument. */
  setPodCidrs(podCidrs: string): Promise<void>;

  status(): EngineStatus;
  runtimeHandlers(): RuntimeHandlerInfo[];
  /** Which driver puts containers into cgroups. */
  readonly cgroupDriver: "cgroupfs" | "systemd";
  /** Debugging facts for the verbose forms: JSON-encodable; the OCI configuration of a container, records, paths. */
  verbosePodSandbox(id: string): Record<string, unknown>;
  verboseContainer(id: string): Record<string, unknown>;
  verboseStatus(): Record<string, unknown>;

  /** Stops serving: disconnects from shims and leaves the containers running. */
  close(): Promise<void>;
}
