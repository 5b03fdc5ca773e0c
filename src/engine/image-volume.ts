/**
 * Volumes out of images: each is a read-only view of the image's chain of layers, kept by the snapshotter under a key
 * made of the container's id and the mount's number. The plan mounts it in the container's own mount namespace. The
 * view keeps the layers on disk while the container is there, whatever becomes of the image.
 */
import { posix } from "node:path";
import type { CleanupStack } from "../base/cleanup.ts";
import { GantryError, wrapError } from "../base/errors.ts";
import { failpoint } from "../base/failpoint.ts";
import type { Digest } from "../base/digest.ts";
import type { ImageRecord } from "../image/image.ts";
import type { RootfsMount } from "../snapshotter/snapshotter.ts";
import type { Container, ContainerConfig, ImageVolume } from "./container.ts";
import type { EngineContext } from "./engine-context.ts";
import { inPortions } from "./portions.ts";

/** The word by which clients of the CRI tell this failure from others; peers say it too. */
const FAILED = "ImageVolumeMountFailed";

/** Key of a volume's view. */
export function imageVolumeKey(containerId: string, mount: number): string {
  return `${containerId}.${mount}`;
}

/** The container that an active snapshot or a view belongs to. */
export function snapshotOwner(key: string): string {
  return key.split(".", 1)[0] ?? key;
}

/**
 * Makes the views of a container that is being created.
 * @throws not-found for an image that is not there or has not the asked path, invalid-argument for a path of it that is
 *   neither directory nor file.
 */
export async function makeImageVolumes(
  context: EngineContext,
  containerId: string,
  config: ContainerConfig,
  undo: CleanupStack,
): Promise<ImageVolume[]> {
  const volumes: ImageVolume[] = [];
  for (const [mount, { image, imageSubPath, containerPath }] of config.mounts.entries()) {
    if (!image) continue;
    try {
      const record = context.images.get(image.image);
      if (!record) throw new GantryError("not-found", `image "${image.image}" not found: pull it first`);
      const { chainId } = record;
      if (!chainId) throw new GantryError("failed-precondition", `image "${image.image}" has no layers`);
      checkSubPath(context, chainId, image.image, imageSubPath);
      const key = imageVolumeKey(containerId, mount);
      undo.push("remove image volume", () => context.snapshotter.remove(key));
      await context.snapshotter.view(key, chainId);
      volumes.push({ mount, imageId: record.id });
    } catch (error) {
      throw wrapError(`${FAILED}: mount "${containerPath}"`, error);
    }
  }
  if (volumes.length > 0) failpoint("container-create:image-volumes");
  return volumes;
}

function checkSubPath(context: EngineContext, chainId: Digest, image: string, path: string): void {
  if (path === "") return;
  const kind = context.snapshotter.fileKind(chainId, path);
  if (kind === undefined) throw new GantryError("not-found", `image "${image}" has no path "${path}"`);
  if (kind === "other")
    throw new GantryError(
      "invalid-argument",
      `"${path}" of image "${image}" is neither a directory nor a file`,
    );
}

/** An image may have hundreds of layers, and each of them is asked. */
const PORTION = 1;
const VOLUMES_LIMIT = 1000;

/**
 * Where the image declares a volume (VOLUME) and has no directory. Those that it has are part of the container's writable
 * layer already.
 * @throws resource-exhausted for an image that declares more of them than any needs.
 */
export async function missingVolumes(
  context: Pick<EngineContext, "snapshotter">,
  { id, chainId, config }: Pick<ImageRecord, "id" | "chainId" | "config">,
  signal: AbortSignal,
): Promise<string[]> {
  const own = config.volumes.filter((path) => !/^\/*(?:proc|sys|dev)(?:\/|$)/.test(posix.normalize(path)));
  if (own.length > VOLUMES_LIMIT)
    throw new GantryError(
      "resource-exhausted",
      `image ${id} declares ${own.length} volumes, more than ${VOLUMES_LIMIT}`,
    );
  const missing: string[] = [];
  const isMissing = (path: string): boolean =>
    chainId === undefined || context.snapshotter.fileKind(chainId, path) === undefined;
  for await (const paths of inPortions(own, PORTION, signal, (path) => (isMissing(path) ? path : undefined)))
    missing.push(...paths);
  return missing;
}

/** How each volume is mounted, by its key. */
export function imageVolumeMounts(context: EngineContext, container: Container): Map<string, RootfsMount> {
  const keys = (container.imageVolumes ?? []).map(({ mount }) => imageVolumeKey(container.id, mount));
  return new Map(keys.map((key) => [key, context.snapshotter.mount(key)]));
}

/** Idempotent. */
export async function removeImageVolumes(context: EngineContext, container: Container): Promise<void> {
  for (const { mount } of container.imageVolumes ?? [])
    await context.snapshotter.remove(imageVolumeKey(container.id, mount));
  if (container.imageVolumes) failpoint("container-remove:image-volumes");
}
