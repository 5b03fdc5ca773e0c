/** Chooses the snapshotter: the one that is configured, or with "auto" overlayfs wherever the filesystem carries it. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { GantryError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import { createCopySnapshotter } from "../snapshotter/copy.ts";
import { createOverlayfsSnapshotter } from "../snapshotter/overlayfs.ts";
import { probeOverlayfs } from "../snapshotter/probe-overlayfs.ts";
import type { RecordStore } from "../store/record-store.ts";
import type { Config } from "./config-schema.ts";

export interface SnapshotStores {
  /** Layers and committed snapshots; survives a power loss. */
  images: RecordStore;
  /** Snapshots of containers; survives the process. */
  containers: RecordStore;
}

/** @throws failed-precondition when overlayfs is asked for and cannot be had. */
export function createSnapshotter(
  config: Config,
  directory: string,
  stores: SnapshotStores,
  log: Logger,
): ReturnType<typeof createOverlayfsSnapshotter> {
  const wanted = config.images.snapshotter;
  if (wanted !== "copy") {
    const own = join(directory, "overlayfs");
    mkdirSync(own, { recursive: true, mode: 0o700 });
    const obstacle = probeOverlayfs(own);
    if (obstacle === undefined)
      return createOverlayfsSnapshotter({
        directory: own,
        store: stores.images,
        activeStore: stores.containers,
        log,
      });
    if (wanted === "overlayfs")
      throw new GantryError("failed-precondition", `images.snapshotter = "overlayfs": ${obstacle}`);
    log.warn({ obstacle }, "overlayfs cannot be used: each container gets a copy of its image");
  }
  return createCopySnapshotter({
    directory: join(directory, "copy"),
    store: stores.images,
    activeStore: stores.containers,
    log,
  });
}
