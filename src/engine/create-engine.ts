/** Puts the engine together from its parts, and recovers what an earlier daemon left. */
import { readFileSync } from "node:fs";
import { containerStats, listContainerStats } from "./container-stats.ts";
import { collectingImages } from "./image-collection.ts";
import { createContainer } from "./container-create.ts";
import { listContainers, listPodSandboxes } from "./container-list.ts";
import { attach } from "./attach.ts";
import { removeContainer } from "./container-remove.ts";
import { reopenContainerLog, startContainer } from "./container-start.ts";
import { stopContainerEntry } from "./container-stop.ts";
import { createEngineContext, type EngineOptions } from "./engine-context.ts";
import type { Engine } from "./engine.ts";
import { exec } from "./exec.ts";
import { execSync } from "./exec-sync.ts";
import { setPodCidrs } from "./node-pod-cidrs.ts";
import { portForward } from "./port-forward.ts";
import { runPodSandbox } from "./pod-run.ts";
import { listPodMeasures } from "./pod-measures.ts";
import { listPodStats, podStats } from "./pod-stats.ts";
import { removePodSandbox, stopPodSandbox } from "./pod-stop.ts";
import { lifecycleControl } from "./hooked-steps.ts";
import { updateContainer, updatePodSandbox } from "./hooked-updates.ts";
import { recover } from "./recovery.ts";
import { verboseContainer, verbosePodSandbox, verboseStatus } from "./verbose.ts";

/** @throws when the store cannot be read; a single pod or container that is broken does not stop the others. */
export async function createEngine(options: EngineOptions): Promise<Engine> {
  const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  const context = createEngineContext(options, bootId);
  options.hooks?.attach(lifecycleControl(context));
  await recover(context);
  const images = collectingImages(options.images, options.log);
  return {
    images,
    cgroupDriver: options.cgroups.driver,
    runPodSandbox: (config, handler, signal) => runPodSandbox(context, config, handler, signal),
    stopPodSandbox: (id, signal) => stopPodSandbox(context, id, signal),
    removePodSandbox: (id, signal) => removePodSandbox(context, id, signal),
    podSandbox: (id) => context.pods.get(id).sandbox,
    listPodSandboxes: (filter) => listPodSandboxes(context, filter),
    createContainer: (podSandboxId, config, signal) => createContainer(context, podSandboxId, config, signal),
    startContainer: (id, signal) => startContainer(context, id, signal),
    stopContainer: async (id, timeoutMs, signal) => {
      const entry = context.containers.find(id);
      if (entry) await stopContainerEntry(context, entry, timeoutMs, signal);
    },
    removeContainer: (id, signal) => removeContainer(context, id, signal),
    container: (id) => context.containers.get(id).container,
    listContainers: (filter) => listContainers(context, filter),
    updateContainerResources: (id, resources, signal) => updateContainer(context, id, resources, signal),
    updatePodSandboxResources: (id, change, signal) => updatePodSandbox(context, id, change, signal),
    execSync: (id, command, timeoutMs, signal) => execSync(context, id, command, timeoutMs, signal),
    exec: (id, command, signal) => exec(context, id, command, signal),
    attach: (id, signal) => attach(context, id, signal),
    portForward: (podSandboxId, port, signal) => portForward(context, podSandboxId, port, signal),
    reopenContainerLog: (id) => reopenContainerLog(context, id),
    events: (signal) => context.events.subscribe(signal),
    containerStats: (id) => containerStats(context, id),
    setPodCidrs: (podCidrs) => setPodCidrs(context, podCidrs),
    listContainerStats: (filter, signal) => listContainerStats(context, filter, signal),
    podStats: (id) => podStats(context, id),
    listPodStats: (filter, signal) => listPodStats(context, filter, signal),
    listPodMeasures: (signal) => listPodMeasures(context, signal),
    status: () => {
      const network = options.network.status();
      return {
        runtime: { ok: true, reason: "", message: "" },
        network: { ok: network.ready, reason: network.reason, message: network.message },
      };
    },
    runtimeHandlers: () => options.handlers,
    verbosePodSandbox: (id) => verbosePodSandbox(context, id),
    verboseContainer: (id) => verboseContainer(context, id),
    verboseStatus: () => verboseStatus(context),
    close: () => {
      for (const entry of context.containers.all()) entry.shim?.disconnect();
      for (const entry of context.pods.all()) entry.pause?.disconnect();
      return Promise.resolve();
    },
  };
}
