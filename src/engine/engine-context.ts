/**
 * What the engine's parts share: what it was given, and the pods and containers it knows.
 *
 * Memory is what is asked; the store is written with each change before the change is told to anyone, so a
 * daemon that dies and comes back reads the same. The parts are functions on this context, one file an operation.
 */
import type { Logger } from "../base/logger.ts";
import { KeyedMutex } from "../base/mutex.ts";
import { SingleFlight } from "../base/single-flight.ts";
import type { ImageService } from "../image/image.ts";
import type { PodNetwork } from "../network/pod-network.ts";
import type { AppArmor } from "../oci/apparmor.ts";
import type { CdiRegistry } from "../oci/cdi-registry.ts";
import type { Selinux } from "../oci/selinux.ts";
import type { CgroupManager } from "../oci/cgroup.ts";
import type { ShimCgroup, ShimManager } from "../shim/shim.ts";
import type { Snapshotter } from "../snapshotter/snapshotter.ts";
import type { RecordStore } from "../store/record-store.ts";
import { ContainerTable } from "./container-table.ts";
import { AccountCache } from "./container-user.ts";
import { EventSource } from "./events.ts";
import type { PodHost } from "./pod-host.ts";
import { PodSandboxTable } from "./pod-sandbox-table.ts";
import type { RuntimeHandlerInfo } from "./engine.ts";
import type { LifecycleHooks } from "./lifecycle-hooks.ts";
import { LayerWalks } from "./layer-walks.ts";
import type { UsageProbe } from "./usage-probe.ts";

export interface EngineOptions {
  /** Live state of pods goes below this directory: "/run/gantry". */
  stateDirectory: string;
  /** Durability "crash" is enough. */
  store: RecordStore;
  images: ImageService;
  snapshotter: Snapshotter;
  network: PodNetwork;
  shims: ShimManager;
  cgroups: CgroupManager;
  host: PodHost;
  usageProbe: UsageProbe;
  log: Logger;
  handlers: RuntimeHandlerInfo[];
  /** Parent of the cgroups of pods that name none: "/gantry". */
  defaultCgroupParent: string;
  /** The group that shims are put into, outside the daemon's. */
  shimCgroup: ShimCgroup;
  /** Host path of the profile for "runtime-default"; empty: the built-in one. */
  seccompDefaultProfile: string;
  apparmor: AppArmor;
  selinux: Selinux;
  /** Devices by CDI name. */
  cdi: CdiRegistry;
  /** Size of a pod's /dev/shm. */
  shmSizeBytes: number;
  /** RLIMIT_NOFILE of containers; undefined: what their shims have. */
  openFiles: { soft: number; hard: number } | undefined;
  /** Who is told of each step; absent: nobody. */
  hooks?: LifecycleHooks;
}

export interface EngineContext extends EngineOptions {
  readonly pods: PodSandboxTable;
  readonly containers: ContainerTable;
  readonly events: EventSource;
  readonly mutex: KeyedMutex;
  readonly podRuns: SingleFlight<string>;
  readonly containerCreates: SingleFlight<string>;
  readonly accounts: AccountCache;
  readonly layerWalks: LayerWalks;
  /** Identifies this boot of the host; records of another boot have no live state. */
  readonly bootId: string;
}

export function createEngineContext(options: EngineOptions, bootId: string): EngineContext {
  const pods = new PodSandboxTable(options.store);
  const containers = new ContainerTable(options.store);
  return {
    ...options,
    pods,
    containers,
    events: new EventSource(pods, containers),
    layerWalks: new LayerWalks(
      (key) => options.snapshotter.usage(key),
      ({ container }) => containers.find(container.id) !== undefined,
      options.log,
    ),
    mutex: new KeyedMutex(),
    podRuns: new SingleFlight(),
    containerCreates: new SingleFlight(),
    accounts: new AccountCache(),
    bootId,
  };
}
