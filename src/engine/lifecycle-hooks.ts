/**
 * What others may see of, and change in, the lives of pods and containers. The engine calls it at a few places and
 * knows nothing of who is behind it.
 *
 * Story: each method tells of one step. Those with a `commit` tell of a step whose record is written by it: it is run
 * after everyone has agreed, and before anyone is told of another step or is shown the state as a whole, so that
 * nobody misses a pod or container, or sees one twice, however late they come.
 *
 * Contract: a method without `commit` that says so may reject, and the step then fails; the others do not reject. None
 * takes long: who does not answer in time is no longer asked. Steps are told one after another, never at once. Where
 * nobody wants to know, a method costs nothing but its call.
 */
import type { Resources, Spec } from "../oci/runtime-spec.ts";
import type { Container } from "./container.ts";
import type { PodSandbox } from "./pod-sandbox.ts";
import type { LinuxResources } from "./resources.ts";

export type { DeviceRule, Hook, IdMapping, Mount, Resources, Seccomp, Spec } from "../oci/runtime-spec.ts";

/** A pod sandbox with what only the engine knows of it. */
export interface HookedPod {
  sandbox: PodSandbox;
  /** Those that its containers join; types as in the OCI runtime specification. */
  namespaces: { type: string; path: string }[];
  /** Parent of its containers' control groups. */
  cgroupParent: string;
}

export interface HookedContainer {
  pod: HookedPod;
  container: Container;
  /** Reads the OCI configuration. It must not be changed. */
  spec(): Spec;
}

/** What became of a container's configuration. */
export interface AdjustedContainer {
  spec: Spec;
  /** Fully qualified names of CDI devices to be injected. */
  cdiDevices: string[];
}

/** A change of a container's resources. */
export interface ResourceChange {
  /** Zero and empty: as it was. */
  limits: LinuxResources;
  /** What LinuxResources has no words for. */
  further: Resources;
}

export interface LifecycleHooks {
  /** Called once, before any other method. */
  attach(control: LifecycleControl): void;

  /** @throws where the pod is refused. What `commit` throws goes through. */
  runPodSandbox(pod: HookedPod, commit: () => void, signal: AbortSignal): Promise<void>;
  /** @throws where the update is refused. */
  updatePodSandbox(
    pod: HookedPod,
    overhead: LinuxResources | undefined,
    resources: LinuxResources | undefined,
    signal: AbortSignal,
  ): Promise<void>;
  postUpdatePodSandbox(pod: HookedPod): Promise<void>;
  /** Its containers have stopped; its namespaces and network are still there. */
  stopPodSandbox(pod: HookedPod): Promise<void>;
  removePodSandbox(pod: HookedPod, commit: () => void): Promise<void>;

  /**
   * `commit` gets the configuration as adjusted, or undefined where nothing was; where it rejects, the container is
   * taken back from everyone.
   * @throws where the container is refused; after `commit` too, and then the container is to be removed again.
   */
  createContainer(
    container: HookedContainer,
    commit: (adjusted: AdjustedContainer | undefined) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void>;
  postCreateContainer(container: HookedContainer): Promise<void>;
  /** @throws where the start is refused; then `commit` was not run. */
  startContainer(container: HookedContainer, commit: () => void, signal: AbortSignal): Promise<void>;
  postStartContainer(container: HookedContainer): Promise<void>;
  /** The change as it is to be made. @throws where the update is refused. */
  updateContainer(
    container: HookedContainer,
    resources: LinuxResources,
    signal: AbortSignal,
  ): Promise<ResourceChange>;
  postUpdateContainer(container: HookedContainer): Promise<void>;
  /** The container has ended, by itself or not. Once for each that was started. */
  stopContainer(container: HookedContainer): Promise<void>;
  removeContainer(container: HookedContainer, commit: () => void): Promise<void>;
}

/** What is behind the hooks may ask this of the engine. */
export interface LifecycleControl {
  /** Everything there is, at this instant. */
  state(): { pods: HookedPod[]; containers: HookedContainer[] };
  /** Changes a container's resources without telling the hooks. Unknown ids are an error. */
  updateContainer(id: string, change: ResourceChange, signal: AbortSignal): Promise<void>;
  /** Stops a container at once. Unknown ids are no error. */
  evictContainer(id: string, reason: string): Promise<void>;
}
