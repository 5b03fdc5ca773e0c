/**
 * StopPodSandbox and RemovePodSandbox. Both may be called any number of times, and continue where an earlier call
 * was cut off: each step is done again until the record says that it is done.
 */
import { rm } from "node:fs/promises";
import { runAll } from "../base/cleanup.ts";
import { wrapError } from "../base/errors.ts";
import { failpoint } from "../base/failpoint.ts";
import { stopContainerEntry } from "./container-stop.ts";
import { removeContainerEntry } from "./container-remove.ts";
import type { EngineContext } from "./engine-context.ts";
import { forgetPod, tellPodStopped } from "./hooked-steps.ts";
import { podNetworkRequest } from "./pod-network-request.ts";
import { podCgroupPath, podPaths } from "./pod-paths.ts";
import type { PodSandboxEntry } from "./pod-sandbox-table.ts";

export async function stopPodSandbox(context: EngineContext, id: string, signal: AbortSignal): Promise<void> {
  const entry = context.pods.find(id);
  if (!entry) return;
  await context.mutex.run(`pod:${entry.sandbox.id}`, signal, () => stopEntry(context, entry, signal));
}

export async function removePodSandbox(
  context: EngineContext,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  const entry = context.pods.find(id);
  if (!entry) return;
  await context.mutex.run(`pod:${entry.sandbox.id}`, signal, async () => {
    if (!context.pods.find(entry.sandbox.id)) return;
    await stopEntry(context, entry, signal);
    const containers = context.containers.ofPod(entry.sandbox.id);
    await Promise.all(containers.map((container) => removeContainerEntry(context, container, signal)));
    failpoint("pod-remove:containers");
    await rm(podPaths(context.stateDirectory, entry.sandbox.id).directory, { recursive: true, force: true });
    failpoint("pod-remove:directory");
    const { cgroupParent } = entry.sandbox.config;
    if (cgroupParent === "")
      await context.cgroups.load(podCgroupPath(context, entry.sandbox.id)).remove(signal);
    else await context.cgroups.load(cgroupParent).removeShadow();
    failpoint("pod-remove:cgroup");
    await forgetPod(context, entry);
    failpoint("pod-remove:record");
  });
}

async function stopEntry(context: EngineContext, entry: PodSandboxEntry, signal: AbortSignal): Promise<void> {
  // Not ready first: from here on no container is created or started in it.
  if (entry.sandbox.state !== "notready") {
    entry.sandbox.state = "notready";
    context.pods.save(entry);
    failpoint("pod-stop:mark");
  }
  const containers = context.containers.ofPod(entry.sandbox.id);
  await Promise.all(containers.map((container) => stopContainerEntry(context, container, 0, signal)));
  failpoint("pod-stop:containers");
  if (entry.networkReleased) return;
  await tellPodStopped(context, entry);
  await release(context, entry, signal);
}

/** Gives up network, pause process, mounts and namespaces, and says so in the record. */
async function release(context: EngineContext, entry: PodSandboxEntry, signal: AbortSignal): Promise<void> {
  const { sandbox } = entry;
  const paths = podPaths(context.stateDirectory, sandbox.id);
  const request = podNetworkRequest(context, sandbox);
  try {
    await runAll([
      {
        name: "tear down network",
        step: async () => {
          if (request) await context.network.teardown(request, entry.networkState, signal);
          failpoint("pod-stop:network");
        },
      },
      {
        name: "end pause process",
        step: async () => {
          await context.shims.discard(sandbox.id);
          delete entry.pause;
          delete sandbox.pausePid;
          failpoint("pod-stop:pause");
        },
      },
      {
        name: "unmount shm",
        step: async () => {
          await context.host.unmount(paths.shm);
          failpoint("pod-stop:shm");
        },
      },
      {
        name: "unpin namespaces",
        step: async () => {
          await context.host.unpinNamespaces(paths.namespaces);
          failpoint("pod-stop:namespaces");
        },
      },
    ]);
  } catch (error) {
    throw wrapError(`pod sandbox "${sandbox.id}"`, error);
  }
  entry.networkReleased = true;
  delete sandbox.netnsPath;
  context.pods.save(entry);
  failpoint("pod-stop:record");
  context.events.pod("stopped", entry);
}
