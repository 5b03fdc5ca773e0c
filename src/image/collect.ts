/**
 * Collection: deletes blobs, committed snapshots and layers that no image, no container and no pull needs.
 *
 * Snapshots go from the top of a chain down, each when its children have gone; then layers that no snapshot stands on;
 * then blobs. Anything may be needed again at any moment, so each thing is looked at once more under its lock
 * (lease.ts) just before it is deleted.
 */
import { isDigest, type Digest } from "../base/digest.ts";
import { errorKind, errorMessage } from "../base/errors.ts";
import { failpoint } from "../base/failpoint.ts";
import type { Logger } from "../base/logger.ts";
import type { Snapshotter } from "../snapshotter/snapshotter.ts";
import type { ContentStore } from "./content-store.ts";
import type { ImageRecords } from "./image-records.ts";
import type { LeaseKey, Leases } from "./lease.ts";

export interface CollectContext {
  content: ContentStore;
  records: ImageRecords;
  snapshotter: Snapshotter;
  leases: Leases;
  log: Logger;
}

/** What could not be deleted is logged and left for the next time. */
export async function collectGarbage(context: CollectContext, signal: AbortSignal): Promise<void> {
  const { content, snapshotter } = context;
  let removed = 0;
  for (let before = -1; before !== removed;) {
    before = removed;
    for (const chainId of unusedSnapshots(context)) {
      const unused = (): boolean => unusedSnapshots(context).includes(chainId);
      removed += await removeOne(
        context,
        `chain ${chainId}`,
        unused,
        async () => {
          await snapshotter.remove(chainId);
          failpoint("image-collect:snapshot");
        },
        signal,
      );
    }
  }
  const layers = neededLayers(context);
  for (const { diffId } of snapshotter.layers()) {
    if (layers.has(diffId)) continue;
    const unused = (): boolean => !neededLayers(context).has(diffId);
    removed += await removeOne(
      context,
      `layer ${diffId}`,
      unused,
      async () => {
        await snapshotter.layerRemove(diffId);
        failpoint("image-collect:layer");
      },
      signal,
    );
  }
  const blobs = neededBlobs(context);
  for (const { digest } of content.list()) {
    if (blobs.has(digest)) continue;
    const unused = (): boolean => !neededBlobs(context).has(digest);
    removed += await removeOne(
      context,
      `blob ${digest}`,
      unused,
      async () => {
        await content.remove(digest);
        failpoint("image-collect:blob");
      },
      signal,
    );
  }
  if (removed > 0) context.log.info({ removed }, "collected unused blobs, layers and snapshots");
}

/** @param unused whether what was so a moment ago still is. */
async function removeOne(
  { leases, log }: CollectContext,
  key: LeaseKey,
  unused: () => boolean,
  remove: () => Promise<void>,
  signal: AbortSignal,
): Promise<number> {
  if (leases.isHeld(key)) return 0;
  try {
    return await leases.exclusive(key, signal, async () => {
      if (leases.isHeld(key) || !unused()) return 0;
      await remove();
      return 1;
    });
  } catch (error) {
    signal.throwIfAborted();
    // Something stands on it.
    if (errorKind(error) === "failed-precondition") return 0;
    log.warn({ object: key, error: errorMessage(error) }, "collecting failed");
    return 0;
  }
}

/** Committed snapshots of no image, on which nothing stands. */
function unusedSnapshots({ records, snapshotter }: CollectContext): Digest[] {
  const needed = new Set<string>();
  for (const image of records.list()) if (image.chainId !== undefined) needed.add(image.chainId);
  const snapshots = snapshotter.list();
  for (const { parent } of snapshots) if (parent !== undefined) needed.add(parent);
  return snapshots
    .filter(({ kind, name }) => kind === "committed" && !needed.has(name))
    .map(({ name }) => name)
    .filter(isDigest);
}

/** Layers of images. Those of other chains that stand for a container are kept by the snapshotter itself. */
export function neededLayers({ records }: Pick<CollectContext, "records">): Set<Digest> {
  return new Set(records.list().flatMap((image) => image.diffIds));
}

export function neededBlobs({ records }: Pick<CollectContext, "records">): Set<Digest> {
  return new Set(records.list().flatMap((image) => [image.id, image.manifestDigest, ...image.blobs]));
}
