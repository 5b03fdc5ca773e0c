/**
 * The engine's side of the lifecycle hooks: the steps that they may change or refuse, and what they may ask for. Without
 * hooks each of these is the bare step.
 */
import { errorMessage, wrapError } from "../base/errors.ts";
import type { Spec } from "../oci/runtime-spec.ts";
import { adjustedEntry } from "./container-adjusted.ts";
import { removeContainerEntry } from "./container-remove.ts";
import { stopContainerEntry } from "./container-stop.ts";
import type { ContainerEntry } from "./container-table.ts";
import { updateContainerResources } from "./container-update.ts";
import type { EngineContext } from "./engine-context.ts";
import { hookedContainer, hookedPod } from "./hooked-subject.ts";
import type { LifecycleControl } from "./lifecycle-hooks.ts";
import type { PodSandboxEntry } from "./pod-sandbox-table.ts";

const never = new AbortController().signal;

/** Writes the record of a pod sandbox that stands, unless it is refused. */
export async function admitPod(
  context: EngineContext,
  entry: PodSandboxEntry,
  signal: AbortSignal,
): Promise<void> {
  const commit = (): void => {
    signal.throwIfAborted();
    context.pods.save(entry);
    context.events.pod("created", entry);
    context.events.pod("started", entry);
  };
  if (context.hooks) await context.hooks.runPodSandbox(hookedPod(context, entry.sandbox), commit, signal);
  else commit();
}

/**
 * Writes the record of a new container, adjusted, unless it is refused.
 * @param check that the pod may still have it; asked again after each wait.
 */
export async function admitContainer(
  context: EngineContext,
  entry: ContainerEntry,
  spec: Spec,
  check: () => void,
  signal: AbortSignal,
): Promise<void> {
  const { hooks } = context;
  const commit = (stored: Spec): void => {
    context.containers.add(entry, stored);
    context.events.container("created", entry);
  };
  if (!hooks) {
    commit(spec);
    return;
  }
  let added = false;
  try {
    await hooks.createContainer(
      hookedContainer(context, entry, spec),
      async (adjusted) => {
        const stored = adjusted ? await adjustedEntry(context, entry, adjusted) : spec;
        signal.throwIfAborted();
        check();
        commit(stored);
        added = true;
      },
      signal,
    );
  } catch (error) {
    if (added) await takeBack(context, entry);
    throw error;
  }
  void hooks.postCreateContainer(hookedContainer(context, entry));
}

async function takeBack(context: EngineContext, entry: ContainerEntry): Promise<void> {
  try {
    await removeContainerEntry(context, entry, never);
  } catch (error) {
    const { id } = entry.container;
    context.log.error({ containerId: id, err: errorMessage(error) }, "removing a refused container failed");
  }
}

/** Tells that a pod sandbox is being stopped, once in the life of the daemon. */
export async function tellPodStopped(context: EngineContext, entry: PodSandboxEntry): Promise<void> {
  if (!context.hooks || entry.stopTold) return;
  entry.stopTold = true;
  await context.hooks.stopPodSandbox(hookedPod(context, entry.sandbox));
}

/** Deletes the record of a pod sandbox of which nothing is left. */
export async function forgetPod(context: EngineContext, entry: PodSandboxEntry): Promise<void> {
  const commit = (): void => {
    context.pods.delete(entry);
    context.events.pod("deleted", entry);
  };
  if (context.hooks) await context.hooks.removePodSandbox(hookedPod(context, entry.sandbox), commit);
  else commit();
}

/** What the hooks may ask for. */
export function lifecycleControl(context: EngineContext): LifecycleControl {
  return {
    state: () => ({
      pods: [...context.pods.all()].map(({ sandbox }) => hookedPod(context, sandbox)),
      containers: [...context.containers.all()]
        .filter(({ container }) => context.pods.find(container.podSandboxId))
        .map((entry) => hookedContainer(context, entry)),
    }),
    updateContainer: async (id, { limits, further }, signal) =>
      updateContainerResources(context, context.containers.get(id), limits, signal, further),
    evictContainer: async (id, reason) => {
      const entry = context.containers.find(id);
      if (!entry) return;
      context.log.warn({ containerId: id, reason }, "container evicted");
      try {
        await stopContainerEntry(context, entry, 0, never);
      } catch (error) {
        throw wrapError(`evict container "${id}"`, error);
      }
    },
  };
}
