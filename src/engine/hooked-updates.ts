/** New limits that a client asks for, with those in between who may change or refuse them. */
import { updateContainerResources } from "./container-update.ts";
import type { EngineContext } from "./engine-context.ts";
import { hookedContainer, hookedPod } from "./hooked-subject.ts";
import { updatePodSandboxResources } from "./pod-update.ts";
import type { LinuxResources } from "./resources.ts";

/** As updateContainerResources; hooks are asked before the container's lock is taken. */
export async function updateContainer(
  context: EngineContext,
  id: string,
  resources: LinuxResources,
  signal: AbortSignal,
): Promise<void> {
  const entry = context.containers.get(id);
  const { hooks } = context;
  if (!hooks) return updateContainerResources(context, entry, resources, signal);
  const { limits, further } = await hooks.updateContainer(hookedContainer(context, entry), resources, signal);
  await updateContainerResources(context, entry, limits, signal, further);
  void hooks.postUpdateContainer(hookedContainer(context, entry));
}

/** As updatePodSandboxResources. */
export async function updatePodSandbox(
  context: EngineContext,
  id: string,
  change: { overhead?: LinuxResources; resources?: LinuxResources },
  signal: AbortSignal,
): Promise<void> {
  const { hooks } = context;
  const { sandbox } = context.pods.get(id);
  await hooks?.updatePodSandbox(hookedPod(context, sandbox), change.overhead, change.resources, signal);
  await updatePodSandboxResources(context, id, change, signal);
  void hooks?.postUpdatePodSandbox(hookedPod(context, sandbox));
}
