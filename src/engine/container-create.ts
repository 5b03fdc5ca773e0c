/**
 * CreateContainer: checks, user, OCI configuration, writable snapshot, record. No process yet: the shim starts with
 * the container.
 */
import { withFollowedSources } from "../oci/bind-sources.ts";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { CleanupStack } from "../base/cleanup.ts";
import { errorMessage, GantryError, wrapError } from "../base/errors.ts";
import { failpoint } from "../base/failpoint.ts";
import { newIdentifier } from "../base/identifier.ts";
import type { ImageRecord } from "../image/image.ts";
import type { Spec } from "../oci/runtime-spec.ts";
import { wallClockNs } from "./clock.ts";
import { checkContainerConfig } from "./container-check.ts";
import type { Container, ContainerConfig } from "./container.ts";
import { containerSpec } from "./container-spec.ts";
import { type ContainerEntry, containerName } from "./container-table.ts";
import { containerUser } from "./container-user.ts";
import type { EngineContext } from "./engine-context.ts";
import { makeImageVolumes, missingVolumes } from "./image-volume.ts";
import type { PodSandbox } from "./pod-sandbox.ts";
import { type LinuxResources, NO_RESOURCES } from "./resources.ts";
import { runtimeHandler } from "./runtime-handler.ts";
import { admitContainer } from "./hooked-steps.ts";
import { podCgroupParent } from "./pod-paths.ts";
import { checkUserMapped } from "./pod-user-namespace.ts";
import { signalName } from "./signal.ts";

export async function createContainer(
  context: EngineContext,
  podSandboxId: string,
  config: ContainerConfig,
  signal: AbortSignal,
): Promise<string> {
  const { sandbox } = context.pods.get(podSandboxId);
  checkContainerConfig(config, sandbox.config);
  const name = containerName(sandbox.id, config.metadata);
  const request = `${name}\n${JSON.stringify(config)}`;
  // One that is under way may still be taken back, though it has a record.
  const known = context.containerCreates.has(request) ? undefined : context.containers.byName(name);
  if (known) return sameCreated(known, config);
  return context.containerCreates.do(request, signal, (shared) =>
    context.mutex.run(`container-name:${name}`, shared, () => {
      const meanwhile = context.containers.byName(name);
      if (meanwhile) return Promise.resolve(sameCreated(meanwhile, config));
      return build(context, sandbox, config, shared);
    }),
  );
}

/** The id of a container that an equal request made and nobody started. @throws already-exists for any other. */
function sameCreated({ container }: ContainerEntry, config: ContainerConfig): string {
  if (container.state === "created" && isDeepStrictEqual(container.config, config)) return container.id;
  throw new GantryError(
    "already-exists",
    `container "${config.metadata.name}" (attempt ${config.metadata.attempt}) exists in its pod sandbox as ${container.id}, ${container.state}`,
  );
}

async function build(
  context: EngineContext,
  sandbox: PodSandbox,
  config: ContainerConfig,
  signal: AbortSignal,
): Promise<string> {
  const id = newIdentifier();
  await using undo = new CleanupStack((step, error) =>
    context.log.error(
      { containerId: id, step, err: errorMessage(error) },
      "clean-up after a failed container failed",
    ),
  );
  try {
    requireReady(sandbox);
    const { external } = runtimeHandler(context, sandbox.runtimeHandler);
    const image = findImage(context, config);
    const accounts = await context.accounts.read(context, image);
    const user = containerUser(config.security, image, accounts);
    checkUserMapped(user, sandbox.config);
    const parent = podCgroupParent(context, sandbox);
    const cgroupPath = context.cgroups.containerPath(parent, id);
    const own = await containerSpec(context, { containerId: id, config, sandbox, image, user, cgroupPath });
    const spec = withFollowedSources(await context.cdi.inject(own, config.cdiDevices));
    signal.throwIfAborted();
    undo.push("remove snapshot", () => context.snapshotter.remove(id));
    await context.snapshotter.prepare(id, image.chainId);
    failpoint("container-create:snapshot");
    const imageVolumes = await makeImageVolumes(context, id, config, undo);
    const missing = await missingVolumes(context, image, signal);
    // The pod may have been stopped meanwhile, and the image removed.
    requireReady(sandbox);
    signal.throwIfAborted();
    const container: Container = {
      id,
      podSandboxId: sandbox.id,
      podMetadata: sandbox.config.metadata,
      config,
      imageId: image.id,
      imageRef: image.repoDigests[0] ?? image.id,
      ...(imageVolumes.length > 0 && { imageVolumes }),
      ...(missing.length > 0 && { missingVolumes: missing }),
      ...(external && { externalHandler: external.options.name }),
      state: "created",
      createdAtNs: wallClockNs(),
      startedAtNs: 0n,
      finishedAtNs: 0n,
      exitCode: 0,
      reason: "",
      message: "",
      logPath:
        sandbox.config.logDirectory && config.logPath
          ? join(sandbox.config.logDirectory, config.logPath)
          : "",
      resources: effectiveResources(context, id, config.resources ?? NO_RESOURCES, spec),
      user: {
        uid: user.uid,
        gid: user.gid,
        supplementalGroups: spec.process?.user.additionalGids ?? [],
      },
      stopSignal: effectiveStopSignal(context, config, image),
    };
    await admitContainer(context, { container, cgroupPath }, spec, () => requireReady(sandbox), signal);
    failpoint("container-create:record");
    undo.disarm();
    return id;
  } catch (error) {
    throw wrapError(`container "${config.metadata.name}"`, error);
  }
}

/** The OOM score is what this daemon may give: without CAP_SYS_RESOURCE not lower than its own. */
function effectiveResources(
  context: EngineContext,
  containerId: string,
  asked: LinuxResources,
  spec: Spec,
): LinuxResources {
  const oomScoreAdj = spec.process?.oomScoreAdj ?? asked.oomScoreAdj;
  if (oomScoreAdj !== asked.oomScoreAdj)
    context.log.info(
      { containerId, asked: asked.oomScoreAdj, given: oomScoreAdj },
      "OOM score cannot be that low",
    );
  return { ...asked, oomScoreAdj };
}

function requireReady(sandbox: PodSandbox): void {
  if (sandbox.state !== "ready")
    throw new GantryError("failed-precondition", `pod sandbox "${sandbox.id}" is not ready`);
}

function findImage(context: EngineContext, config: ContainerConfig): ImageRecord {
  const image = context.images.get(config.image.image);
  if (!image) throw new GantryError("not-found", `image "${config.image.image}" not found: pull it first`);
  return image;
}

/** The request's, else the image's, else SIGTERM. An image's unknown signal is told and not obeyed. */
function effectiveStopSignal(context: EngineContext, config: ContainerConfig, image: ImageRecord): string {
  if (config.stopSignal !== "") return signalName(config.stopSignal);
  if (image.config.stopSignal === "") return "SIGTERM";
  try {
    return signalName(image.config.stopSignal);
  } catch (error) {
    context.log.warn({ imageId: image.id, err: errorMessage(error) }, "stop signal of the image ignored");
    return "SIGTERM";
  }
}
