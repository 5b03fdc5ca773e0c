/**
 * UpdateContainerResources: new limits for a container that is created or runs, all of them or none.
 *
 *   running   cgroup ─▶ OOM scores ─▶ record and configuration
 *   created   record and configuration; the limits are written when it starts
 *
 * The record comes last: a daemon that dies before it has answered nobody, and the repeated call writes the same again.
 */
import { CleanupStack } from "../base/cleanup.ts";
import { errorKind, errorMessage, GantryError, wrapError } from "../base/errors.ts";
import { failpoint } from "../base/failpoint.ts";
import { changeOomScore, permittedOomScore } from "../oci/oom-score.ts";
import type { Resources, Spec } from "../oci/runtime-spec.ts";
import { changedLimits, changedResources, resourcesOfChange } from "../oci/spec-resources.ts";
import type { Container } from "./container.ts";
import type { ContainerEntry } from "./container-table.ts";
import type { EngineContext } from "./engine-context.ts";
import type { LinuxResources } from "./resources.ts";
import { externalHandler } from "./runtime-handler.ts";

/**
 * Zero and empty mean "unchanged". Takes the container's lock, so it must not be called by who holds it.
 *
 * @param further limits that LinuxResources has no words for.
 * @throws not-found when it is gone, failed-precondition unless it is created or running and for a memory limit below
 *   what is in use, invalid-argument for limits that the kernel or another limit refuses. Nothing is changed then.
 */
export async function updateContainerResources(
  context: EngineContext,
  entry: ContainerEntry,
  resources: LinuxResources,
  signal: AbortSignal,
  further: Resources = {},
): Promise<void> {
  const { id } = entry.container;
  await context.mutex.run(`container:${id}`, signal, async () => {
    requireUpdatable(context, entry);
    signal.throwIfAborted();
    try {
      await update(context, entry, resources, further);
    } catch (error) {
      // The cgroup of a container that has just ended is gone.
      const ended = errorKind(error) === "not-found" && context.containers.find(id);
      throw wrapError(`update container "${id}"`, error, ended ? "failed-precondition" : errorKind(error));
    }
  });
}

function requireUpdatable(context: EngineContext, { container }: ContainerEntry): void {
  if (!context.containers.find(container.id))
    throw new GantryError("not-found", `container "${container.id}" not found`);
  if (container.state !== "created" && container.state !== "running")
    throw new GantryError(
      "failed-precondition",
      `container "${container.id}" is ${container.state}, neither created nor running`,
    );
}

/** The limits after the change. What they become can be 0 where the change's own 0 means nothing. */
function limitsAfter(
  context: EngineContext,
  { id, resources }: Container,
  change: LinuxResources,
): LinuxResources {
  const limits = changedLimits(resources, change);
  if (change.oomScoreAdj === 0) return limits;
  const oomScoreAdj = permittedOomScore(change.oomScoreAdj);
  if (oomScoreAdj !== change.oomScoreAdj)
    context.log.info(
      { containerId: id, asked: change.oomScoreAdj, given: oomScoreAdj },
      "OOM score cannot be that low",
    );
  return { ...limits, oomScoreAdj };
}

async function update(
  context: EngineContext,
  entry: ContainerEntry,
  change: LinuxResources,
  further: Resources,
): Promise<void> {
  const { container } = entry;
  await using undo = new CleanupStack((step, error) =>
    context.log.error(
      { containerId: container.id, step, err: errorMessage(error) },
      "undoing a failed update failed",
    ),
  );
  const before = container.resources;
  const limits = limitsAfter(context, container, change);
  const written = changedResources(resourcesOfChange(limits, change), further);
  const cgroup = context.cgroups.load(entry.cgroupPath);
  if (container.state === "running") {
    const memory = written.memory && { memory: { ...written.memory, checkBeforeUpdate: true } };
    // That of a virtual machine's container may not be one.
    if (cgroup.exists() || container.externalHandler === undefined)
      undo.push("restore limits", await cgroup.update({ ...written, ...memory }));
    if (container.externalHandler !== undefined) {
      const { external } = externalHandler(context, container);
      await external.updateResources(container.id, written);
      const old = context.containers.spec(entry).linux?.resources ?? {};
      undo.push("restore the runtime's limits", () => external.updateResources(container.id, old));
    }
    failpoint("container-update:limits");
  } else {
    cgroup.check(written);
  }
  const spec = changedSpec(context.containers.spec(entry), written, limits.oomScoreAdj);
  if (container.state === "running" && limits.oomScoreAdj !== before.oomScoreAdj) {
    const { refused } = await changeOomScore(cgroup, before.oomScoreAdj, limits.oomScoreAdj);
    undo.push("restore OOM scores", async () => {
      await changeOomScore(cgroup, limits.oomScoreAdj, before.oomScoreAdj);
    });
    if (refused > 0)
      context.log.warn({ containerId: container.id, processes: refused }, "OOM scores could not be changed");
  }
  container.resources = limits;
  undo.push("restore record", () => {
    container.resources = before;
  });
  context.containers.saveWithSpec(entry, spec);
  failpoint("container-update:record");
  undo.disarm();
}

function changedSpec(spec: Spec, change: Resources, oomScoreAdj: number): Spec {
  const resources = changedResources(spec.linux?.resources ?? {}, change);
  return {
    ...spec,
    ...(spec.process && { process: { ...spec.process, oomScoreAdj } }),
    linux: { ...spec.linux, resources },
  };
}
