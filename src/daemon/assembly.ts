/**
 * Puts the parts of the daemon together, in the order in which they need each other, and takes them apart in the
 * opposite one. The settings meet the parts' own options here and nowhere else.
 *
 *   stores ─▶ snapshotter ─▶ images ─┐
 *             network, shims, cgroups ─┴─▶ engine (recovers) ─▶ CRI server
 */
import { mkdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { runAll, type CleanupStep } from "../base/cleanup.ts";
import type { Logger } from "../base/logger.ts";
import { createCriServer } from "../cri/server.ts";
import { createEngine } from "../engine/create-engine.ts";
import { linuxPodHost } from "../engine/pod-host-linux.ts";
import { linuxUsageProbe } from "../engine/usage-probe-linux.ts";
import { createImageService } from "../image/image-service.ts";
import { createUnpacker } from "../image/unpack/unpacker.ts";
import { shimProgram } from "../native/addon.ts";
import { AppArmor } from "../oci/apparmor.ts";
import { Selinux } from "../oci/selinux.ts";
import { CdiRegistry } from "../oci/cdi-registry.ts";
import { PLAN_FINGERPRINT } from "../oci/plan.ts";
import { explainPlanError } from "../oci/plan-explain.ts";
import { createShimManager } from "../shim/shim-manager.ts";
import { createNri } from "../nri/nri.ts";
import { openRecordStore } from "../store/record-store.ts";
import type { Config } from "./config-schema.ts";
import { openControlGroups } from "./control-groups.ts";
import { nriOptions } from "./nri-options.ts";
import { runtimeHandlers } from "./runtime-handlers.ts";
import { createNetwork } from "./network-choice.ts";
import { openFilesLimit } from "./open-files-limit.ts";
import { createSnapshotter } from "./snapshotter-choice.ts";
import { createStreaming } from "./streaming-choice.ts";
import { probeUserNamespaces } from "./user-namespace-probe.ts";
import { VERSION } from "./version.ts";

export interface Daemon {
  /** Serves on the unix socket of this path. */
  listen(socketPath: string): Promise<void>;
  /** Ends service: calls that run get the time given. Containers run on. */
  close(drainMs: number): Promise<void>;
}

/** @throws where a part cannot start; then nothing keeps running, and the process is to end. */
export async function assemble(config: Config, log: Logger): Promise<Daemon> {
  const directory = (...parts: string[]): string => {
    const path = join(config.root, ...parts);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return path;
  };
  const imageStore = openRecordStore(join(config.root, "images.db"), "power-loss");
  const containerStore = openRecordStore(join(config.root, "containers.db"), "crash");
  const part = (name: string): Logger => log.child({ part: name });

  const snapshotter = createSnapshotter(
    config,
    directory("snapshots"),
    { images: imageStore, containers: containerStore },
    part("snapshotter"),
  );
  const userNamespaces = probeUserNamespaces(directory("snapshots"), snapshotter.name);
  await snapshotter.collect();
  const unpacker = createUnpacker({
    workers: unpackWorkers(config),
    ...(isBundle() && { workerUrl: bundledWorker() }),
  });
  const images = createImageService({
    directory: directory("images"),
    store: imageStore,
    snapshotter,
    unpacker,
    log: part("images"),
    hostsDirectories: config.images.registry_config_path,
    plainHttpHosts: config.images.plain_http_hosts,
    pinnedImages: config.images.pinned,
    maxConcurrentDownloads: config.images.max_concurrent_downloads,
    progressTimeoutMs: config.images.pull_progress_timeout_seconds * 1000,
  });

  const { cgroups, podParent, shims: shimGroup } = await openControlGroups(config.runtime);
  const network = createNetwork(config, containerStore, part("network"));
  const nri = config.nri.enable ? createNri(nriOptions(config, part("nri"))) : undefined;
  const engine = await createEngine({
    ...(nri && { hooks: nri }),
    stateDirectory: config.state,
    store: containerStore,
    images,
    snapshotter,
    network,
    shims: createShimManager({
      stateDirectory: config.state,
      program: shimProgram,
      planBuild: PLAN_FINGERPRINT,
      log: part("shim"),
      explain: explainPlanError,
    }),
    cgroups,
    host: linuxPodHost,
    usageProbe: linuxUsageProbe,
    log: part("engine"),
    handlers: await runtimeHandlers(config, cgroups.driver, await userNamespaces, part("handlers")),
    defaultCgroupParent: podParent,
    shimCgroup: shimGroup.entries(),
    seccompDefaultProfile: config.runtime.seccomp_default,
    apparmor: new AppArmor(),
    selinux: new Selinux(),
    cdi: new CdiRegistry(config.runtime.cdi_directories),
    shmSizeBytes: config.runtime.shm_size_bytes,
    openFiles: openFilesLimit(),
  });
  const streaming = createStreaming(config, engine, part("streaming"));
  // A port that was asked for is taken now, or the start fails; any other is taken when it is needed.
  if (config.streaming.port !== 0) await streaming.listen();
  // Before the first call: a plugin sees what there was, and then everything that happens.
  await nri?.start();
  const server = createCriServer({
    engine,
    streaming,
    log: part("cri"),
    version: VERSION,
    maxMessageBytes: config.cri.max_message_bytes,
  });

  /** Without pods nothing of the daemon is to stay on the host; with pods, what they use stays. */
  const leaveHost = async (): Promise<void> => {
    if (engine.listPodSandboxes({}).length > 0) return;
    await network.close();
    for (const group of [shimGroup, cgroups.load(podParent)]) {
      // Removing kills; a shim on its way out is left alone.
      if ((await group.processes()).length === 0) await group.remove(AbortSignal.timeout(1000));
    }
  };
  const steps = (drainMs: number): { name: string; step: CleanupStep }[] => [
    { name: "CRI server", step: () => server.drain(drainMs) },
    { name: "streaming server", step: () => streaming.close() },
    { name: "NRI", step: () => nri?.close() },
    { name: "images", step: () => images.close() },
    { name: "unpacker", step: () => unpacker.close() },
    { name: "host", step: () => leaveHost() },
    { name: "engine", step: () => engine.close() },
    { name: "snapshotter", step: () => snapshotter.settled() },
    { name: "container records", step: () => containerStore.close() },
    { name: "image records", step: () => imageStore.close() },
  ];
  return {
    listen: (socketPath) => server.listen(socketPath),
    close: (drainMs) => runAll(steps(drainMs)),
  };
}

function unpackWorkers(config: Config): number {
  return config.images.unpack_workers || Math.min(availableParallelism(), 4);
}

function isBundle(): boolean {
  return import.meta.filename.endsWith(".js");
}

function bundledWorker(): URL {
  return new URL("unpack-worker.js", import.meta.url);
}
