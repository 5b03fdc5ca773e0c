/** Stands in for the engine in tests of the front end: answers from samples, and records what it was asked. */
import { parseDigest } from "../base/digest.ts";
import { GantryError } from "../base/errors.ts";
import { type Container, NO_SECURITY } from "../engine/container.ts";
import type { LifecycleEvent } from "../engine/events.ts";
import type { PodSandbox } from "../engine/pod-sandbox.ts";
import type { ContainerUsage, InterfaceCounters, PodMeasures, PodUsage } from "../engine/resources.ts";
import type { Engine, ImageRecord, ImageService } from "../engine/engine.ts";

export const sampleImage: ImageRecord = {
  id: parseDigest(`sha256:${"1".repeat(64)}`),
  repoTags: ["docker.io/library/busybox:1.36", "docker.io/library/busybox:latest"],
  repoDigests: [`docker.io/library/busybox@sha256:${"2".repeat(64)}`],
  manifestDigest: parseDigest(`sha256:${"2".repeat(64)}`),
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  sizeBytes: 2_200_000,
  config: {
    user: "1000:1000",
    env: [],
    entrypoint: [],
    cmd: ["sh"],
    workingDir: "",
    stopSignal: "",
    volumes: [],
    labels: {},
    architecture: "amd64",
    os: "linux",
  },
  diffIds: [parseDigest(`sha256:${"3".repeat(64)}`)],
  pinned: false,
  pulledAtMs: 1,
};

export const samplePodSandbox: PodSandbox = {
  id: "a".repeat(64),
  config: {
    metadata: { name: "web", uid: "uid-1", namespace: "default", attempt: 2 },
    hostname: "web",
    logDirectory: "/var/log/pods/web",
    portMappings: [],
    labels: { app: "web" },
    annotations: { "example.com/note": "kept\nas it is" },
    cgroupParent: "",
    sysctls: {},
    namespaces: { network: "pod", pid: "container", ipc: "pod", targetId: "" },
    privileged: false,
    readonlyRootfs: false,
  },
  runtimeHandler: "",
  state: "ready",
  createdAtNs: 1_763_700_000_123_456_789n,
  ips: ["10.1.0.5", "fd00::5"],
};

export const sampleContainer: Container = {
  id: "b".repeat(64),
  podSandboxId: samplePodSandbox.id,
  podMetadata: samplePodSandbox.config.metadata,
  config: {
    metadata: { name: "main", attempt: 1 },
    image: {
      image: sampleImage.id,
      annotations: {},
      userSpecifiedImage: "busybox:latest",
      runtimeHandler: "",
      imageRef: "",
    },
    command: ["sleep"],
    args: ["1d"],
    workingDir: "",
    env: [],
    mounts: [],
    devices: [],
    cdiDevices: [],
    labels: { tier: "front" },
    annotations: { a: "b" },
    logPath: "main/0.log",
    stdin: false,
    stdinOnce: false,
    tty: false,
    security: NO_SECURITY,
    stopSignal: "",
  },
  imageId: sampleImage.id,
  imageRef: `docker.io/library/busybox@sha256:${"2".repeat(64)}`,
  state: "exited",
  createdAtNs: 1_763_700_000_123_456_789n,
  startedAtNs: 1_763_700_001_000_000_001n,
  finishedAtNs: 1_763_700_002_000_000_003n,
  exitCode: 137,
  reason: "OOMKilled",
  message: "",
  logPath: "/var/log/pods/web/main/0.log",
  resources: {
    cpuPeriodUs: 100_000,
    cpuQuotaUs: 20_000,
    cpuShares: 512,
    memoryLimitBytes: 2 ** 40,
    memorySwapLimitBytes: 0,
    oomScoreAdj: -998,
    cpusetCpus: "0-1",
    cpusetMems: "",
    hugepageLimits: [{ pageSize: "2MB", limitBytes: 0 }],
    unified: {},
  },
  user: { uid: 1000, gid: 1001, supplementalGroups: [5, 6] },
  stopSignal: "SIGRTMIN+3",
};

export const sampleUsage: ContainerUsage = {
  container: sampleContainer,
  timestampNs: 1_763_700_003_000_000_007n,
  cpuUsageNs: 9_007_199_254_740_993n,
  cpuNanoCores: 250_000_000n,
  memoryUsageBytes: 4096,
  memoryWorkingSetBytes: 2048,
  memoryRssBytes: 1024,
  memoryPageFaults: 7,
  memoryMajorPageFaults: 0,
  swapUsageBytes: 0,
  processes: 3,
  cpuPressure: { some: { totalUs: 7, avg10: 1.5, avg60: 0.25, avg300: 0 } },
  ioPressure: {
    some: { totalUs: 9, avg10: 0, avg60: 0, avg300: 0.01 },
    full: { totalUs: 8, avg10: 0, avg60: 0, avg300: 0 },
  },
  filesystem: { directory: "/var/lib/gantry", usedBytes: 10, inodesUsed: 3, timestampNs: 5n },
};

export const sampleEvent: LifecycleEvent = {
  id: sampleContainer.id,
  change: "stopped",
  atNs: 1_763_700_002_000_000_004n,
  podSandbox: samplePodSandbox,
  containers: [sampleContainer],
};

const eth0: InterfaceCounters = {
  name: "eth0",
  rxBytes: 2 ** 40,
  rxPackets: 11,
  rxErrors: 1,
  rxDropped: 2,
  txBytes: 13,
  txPackets: 14,
  txErrors: 3,
  txDropped: 4,
};

export const samplePodUsage: PodUsage = {
  sandbox: samplePodSandbox,
  timestampNs: 1_763_700_003_000_000_008n,
  cpuUsageNs: 5_000_000_000n,
  memoryUsageBytes: 8192,
  memoryWorkingSetBytes: 4096,
  memoryRssBytes: 2048,
  memoryPageFaults: 9,
  memoryMajorPageFaults: 1,
  memoryAvailableBytes: 100,
  swapUsageBytes: 0,
  processes: 4,
  network: { timestampNs: 6n, primary: eth0, others: [{ ...eth0, name: "net1" }] },
  containers: [sampleUsage],
};

export const samplePodMeasures: PodMeasures = {
  sandbox: samplePodSandbox,
  cgroupPath: "/kubepods/pod1",
  interfaces: [eth0],
  containers: [
    {
      container: sampleContainer,
      cgroupPath: "/kubepods/pod1/c1",
      counts: {
        ...sampleUsage,
        pids: 5,
        oomKills: 0,
        cpuUserNs: 3_900_000_000n,
        cpuSystemNs: 1n,
        cpuPeriods: 20,
        cpuThrottledPeriods: 10,
        cpuThrottledNs: 2_500_000_000n,
        memoryCacheBytes: 1,
        memoryMappedFileBytes: 2,
        memoryActiveFileBytes: 3,
        memoryInactiveFileBytes: 4,
        memoryKernelBytes: 5,
        memoryPeakBytes: 2 ** 45,
        memoryLimitHits: 6,
        ownPageFaults: 7,
        ownMajorPageFaults: 8,
        pidsLimit: 99,
        io: [{ major: 8, minor: 1, readBytes: 4096, writtenBytes: 512, reads: 2, writes: 1 }],
        hugepages: [{ pageSize: "2MB", usageBytes: 2 ** 21 }],
      },
      deviceNames: ["/dev/sda1"],
      descriptors: 12,
      sockets: 4,
      openFilesLimit: 1024,
      layer: { usedBytes: 4096, inodesUsed: 1, timestampNs: 1_763_700_003_123_456_000n },
      capacity: { device: "/dev/sdb", sizeBytes: 1000, inodes: 100, inodesFree: 60 },
    },
  ],
};

export interface FakeEngine extends Engine {
  /** Name and arguments of each call that changes something, without the signal. */
  readonly asked: [string, ...unknown[]][];
}

export type EngineOverrides = Partial<Omit<Engine, "images">> & { images?: Partial<ImageService> };

/** Knows one pod, one container and one image, the samples; everything works. */
export function fakeEngine(overrides: EngineOverrides = {}): FakeEngine {
  const asked: FakeEngine["asked"] = [];
  const doing =
    (name: string) =>
    async (...values: unknown[]): Promise<void> => {
      asked.push([name, ...values.filter((value) => !(value instanceof AbortSignal))]);
    };
  const known = <T extends { id: string }>(sample: T, id: string): T => {
    if (!sample.id.startsWith(id)) throw new GantryError("not-found", `${JSON.stringify(id)} is not known`);
    return sample;
  };
  const images: ImageService = {
    pull: async (request) => {
      asked.push(["pull", request]);
      return sampleImage;
    },
    get: (name) =>
      [sampleImage.id, ...sampleImage.repoTags, ...sampleImage.repoDigests].includes(name)
        ? sampleImage
        : undefined,
    list: () => [sampleImage],
    remove: doing("remove"),
    usage: async () => ({
      directory: "/var/lib/gantry/images",
      usage: { bytes: 77, inodes: 8 },
      timestampNs: 9n,
    }),
    rawConfig: async () => `{"architecture":"amd64","config":{"User":"1000:1000"}}`,
    collect: doing("collect"),
    ...overrides.images,
  };
  return {
    asked,
    runPodSandbox: async (config, runtimeHandler) => {
      asked.push(["runPodSandbox", config, runtimeHandler]);
      return samplePodSandbox.id;
    },
    stopPodSandbox: doing("stopPodSandbox"),
    removePodSandbox: doing("removePodSandbox"),
    podSandbox: (id) => known(samplePodSandbox, id),
    listPodSandboxes: () => [samplePodSandbox],
    createContainer: async (podSandboxId, config) => {
      asked.push(["createContainer", podSandboxId, config]);
      return sampleContainer.id;
    },
    startContainer: doing("startContainer"),
    stopContainer: doing("stopContainer"),
    removeContainer: doing("removeContainer"),
    container: (id) => known(sampleContainer, id),
    listContainers: () => [sampleContainer],
    updateContainerResources: async (id, resources) => {
      asked.push(["updateContainerResources", known(sampleContainer, id).id, resources]);
    },
    updatePodSandboxResources: async (id, change) => {
      asked.push(["updatePodSandboxResources", known(samplePodSandbox, id).id, change]);
    },
    execSync: async (id, command, timeoutMs) => {
      asked.push(["execSync", id, command, timeoutMs]);
      return { stdout: Buffer.from([0, 255, 10]), stderr: Buffer.from("no"), exitCode: 3 };
    },
    exec: () => Promise.reject(new GantryError("unavailable", "no exec in this fake")),
    attach: () => Promise.reject(new GantryError("unavailable", "no attach in this fake")),
    portForward: () => Promise.reject(new GantryError("unavailable", "no port-forward in this fake")),
    reopenContainerLog: doing("reopenContainerLog"),
    events: async function* () {
      yield sampleEvent;
    },
    containerStats: async (id) => ({ ...sampleUsage, container: known(sampleContainer, id) }),
    listContainerStats: async function* () {
      yield [sampleUsage];
    },
    podStats: async (id) => ({ ...samplePodUsage, sandbox: known(samplePodSandbox, id) }),
    listPodStats: async function* () {
      yield [samplePodUsage];
    },
    listPodMeasures: async function* () {
      yield [samplePodMeasures];
    },
    setPodCidrs: doing("setPodCidrs"),
    status: () => ({
      runtime: { ok: true, reason: "", message: "" },
      network: { ok: false, reason: "NetworkPluginNotReady", message: "no configuration" },
    }),
    runtimeHandlers: () => [
      { name: "", recursiveReadOnlyMounts: true, userNamespaces: false },
      { name: "gantry", recursiveReadOnlyMounts: true, userNamespaces: false },
    ],
    cgroupDriver: "cgroupfs",
    verbosePodSandbox: () => ({ pid: 12 }),
    verboseContainer: () => ({ pid: 34, startedAtNs: 5n }),
    verboseStatus: () => ({ config: { a: 1 }, snapshotter: "overlayfs" }),
    close: async () => undefined,
    ...overrides,
    images,
  };
}
