/**
 * The updates that plugins ask for in answer to one event, collected over all plugins and then made, in the order in
 * which they were asked for.
 */
import { errorMessage, GantryError, wrapError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import type { LifecycleControl, ResourceChange } from "../engine/lifecycle-hooks.ts";
import type { LinuxResources } from "../engine/resources.ts";
import type { EvictionIn, ResourcesIn, UpdateIn } from "./messages.ts";
import { claimResources, FieldOwners } from "./owners.ts";
import { changeWith } from "./resources.ts";

/** Of a plugin's words. */
const MAX_REASON = 1024;
/** An update waits for a start or removal of its container. */
const UPDATE_TIMEOUT_MS = 10_000;

interface Wanted {
  containerId: string;
  plugin: string;
  resources: ResourcesIn;
  ignoreFailure: boolean;
}

export class ContainerUpdates {
  readonly #owners = new Map<string, FieldOwners>();
  readonly #wanted: Wanted[] = [];
  readonly #evictions: (EvictionIn & { plugin: string })[] = [];
  /** The container that the event is about. */
  readonly #subject: string | undefined;
  /** Whether the subject may be updated. */
  readonly #subjectExists: boolean;

  constructor(subject?: { id: string; exists: boolean }) {
    this.#subject = subject?.id;
    this.#subjectExists = subject?.exists ?? true;
  }

  ownersOf(containerId: string): FieldOwners {
    let owners = this.#owners.get(containerId);
    if (!owners) this.#owners.set(containerId, (owners = new FieldOwners()));
    return owners;
  }

  /** @throws failed-precondition where two plugins want the same of a container, unless its failure is to be ignored. */
  add(updates: UpdateIn[], plugin: string): void {
    for (const { container_id: containerId, linux, ignore_failure: ignoreFailure } of updates) {
      if (containerId === this.#subject && !this.#subjectExists)
        throw new GantryError(
          "failed-precondition",
          `plugin "${plugin}" asked for an update of container "${containerId}" while it is created`,
        );
      if (!linux?.resources) continue;
      try {
        claimResources(this.ownersOf(containerId), plugin, linux.resources);
      } catch (error) {
        if (ignoreFailure) continue;
        throw wrapError(`update of container "${containerId}"`, error);
      }
      this.#wanted.push({ containerId, plugin, resources: linux.resources, ignoreFailure });
    }
  }

  evict(evictions: EvictionIn[], plugin: string): void {
    for (const eviction of evictions) this.#evictions.push({ ...eviction, plugin });
  }

  /** The subject's change with what was wanted for it; it is not updated by `apply` then. */
  takeSubject(limits: LinuxResources): ResourceChange {
    let result: ResourceChange = { limits, further: {} };
    for (const { containerId, plugin, resources, ignoreFailure } of this.#wanted) {
      if (containerId !== this.#subject) continue;
      try {
        result = changeWith(resources, result);
      } catch (error) {
        if (!ignoreFailure)
          throw wrapError(`plugin "${plugin}": update of container "${containerId}"`, error);
      }
    }
    for (let index = this.#wanted.length - 1; index >= 0; index--)
      if (this.#wanted[index]?.containerId === this.#subject) this.#wanted.splice(index, 1);
    return result;
  }

  /** Makes the updates and begins the evictions. @throws for the first update that fails and may not. */
  async apply(control: LifecycleControl, log: Logger): Promise<void> {
    for (const wanted of this.#wanted) {
      try {
        await applyUpdate(control, wanted.containerId, wanted.resources);
      } catch (error) {
        if (!wanted.ignoreFailure)
          throw wrapError(`plugin "${wanted.plugin}": update of container "${wanted.containerId}"`, error);
        log.warn(
          { plugin: wanted.plugin, containerId: wanted.containerId, err: errorMessage(error) },
          "update of a container failed",
        );
      }
    }
    // Not waited for: its end is an event, for which the plugin that asks may not be ready yet.
    for (const { container_id: id, reason, plugin } of this.#evictions)
      control
        .evictContainer(id, `plugin "${plugin}": ${reason.slice(0, MAX_REASON)}`)
        .catch((error: unknown) =>
          log.warn({ plugin, containerId: id, err: errorMessage(error) }, "eviction of a container failed"),
        );
  }
}

/** One update. @throws where it cannot be made; then nothing has changed. */
export async function applyUpdate(control: LifecycleControl, id: string, change: ResourcesIn): Promise<void> {
  await control.updateContainer(id, changeWith(change), AbortSignal.timeout(UPDATE_TIMEOUT_MS));
}
