/** RemoveContainer: the container, its writable layer and its records. A running one is killed first. */
import { abortable } from "../base/abort.ts";
import { wrapError } from "../base/errors.ts";
import { failpoint } from "../base/failpoint.ts";
import { releaseForRemoval } from "./container-exit.ts";
import { stopContainerEntry } from "./container-stop.ts";
import type { ContainerEntry } from "./container-table.ts";
import type { EngineContext } from "./engine-context.ts";
import { removeImageVolumes } from "./image-volume.ts";
import { hookedContainer, whileAtRest } from "./hooked-subject.ts";
import type { LifecycleHooks } from "./lifecycle-hooks.ts";

export async function removeContainer(
  context: EngineContext,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  const entry = context.containers.find(id);
  if (entry) await removeContainerEntry(context, entry, signal);
}

export async function removeContainerEntry(
  context: EngineContext,
  entry: ContainerEntry,
  signal: AbortSignal,
): Promise<void> {
  const { id } = entry.container;
  await stopContainerEntry(context, entry, 0, signal);
  failpoint("container-remove:stop");
  await whileAtRest(context, entry, signal, async () => {
    if (!context.containers.find(id)) return;
    try {
      await abortable(releaseForRemoval(context, entry), signal);
      failpoint("container-remove:release");
      await removeImageVolumes(context, entry.container);
      await context.snapshotter.remove(id);
      failpoint("container-remove:snapshot");
    } catch (error) {
      throw wrapError(`remove container "${id}"`, error);
    }
    if (context.hooks) entry.removal ??= tellRemoved(context, context.hooks, entry);
    else forget(context, entry);
  });
  // Not while the container's key is held: who is told may be waiting for an update of it.
  if (entry.removal) await abortable(entry.removal, signal);
}

function forget(context: EngineContext, entry: ContainerEntry): void {
  context.containers.delete(entry);
  failpoint("container-remove:record");
  context.events.container("deleted", entry);
}

async function tellRemoved(
  context: EngineContext,
  hooks: LifecycleHooks,
  entry: ContainerEntry,
): Promise<void> {
  // Once this has returned: the entry has the promise then.
  await Promise.resolve();
  try {
    // Nobody can be told of a container whose pod is lost.
    if (!context.pods.find(entry.container.podSandboxId)) return forget(context, entry);
    await hooks.removeContainer(hookedContainer(context, entry), () => forget(context, entry));
  } catch (error) {
    delete entry.removal;
    throw wrapError(`remove container "${entry.container.id}"`, error);
  }
}
