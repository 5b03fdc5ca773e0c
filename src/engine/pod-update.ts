/**
 * UpdatePodSandboxResources: what the client has set for the whole pod, in the pod's record.
 *
 * The pod's cgroup is the client's own and has its new limits already; nothing here writes to it. The record is for
 * who asks later: the verbose status, and extensions that are told of a pod's size.
 */
import type { EngineContext } from "./engine-context.ts";
import type { LinuxResources } from "./resources.ts";

/** What is undefined in the change stays as it was. @throws not-found. */
export async function updatePodSandboxResources(
  context: EngineContext,
  id: string,
  change: { overhead?: LinuxResources; resources?: LinuxResources },
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const entry = context.pods.get(id);
  const before = { ...entry.sandbox };
  Object.assign(entry.sandbox, change);
  try {
    context.pods.save(entry);
  } catch (error) {
    delete entry.sandbox.overhead;
    delete entry.sandbox.resources;
    Object.assign(entry.sandbox, before);
    throw error;
  }
}
