/**
 * The unpacker: turns the compressed blob of one layer into a directory, while it downloads.
 *
 *   source ─▶ sha256 of the blob ─▶ decompress ─▶ sha256 of the diff ─▶ tar entries ─▶ files below `directory`
 *
 * One pass, off the main thread, in memory that does not depend on the layer. This file is the interface; the
 * worker pool behind it is worker-pool.ts, the work itself layer-unpack.ts.
 */
import type { Digest } from "../../base/digest.ts";
import type { Usage } from "../../snapshotter/snapshotter.ts";

export type LayerCompression = "gzip" | "zstd" | "none";

export interface UnpackRequest {
  /**
   * The blob as it is stored in the registry. Read with back-pressure and to its end; its chunks are not changed.
   * When the call fails or is aborted, the iterator's `return` is called, which destroys a Readable.
   */
  source: AsyncIterable<Uint8Array>;
  compression: LayerCompression;
  /** Absolute path of an existing, empty directory, which becomes the root of the layer. */
  directory: string;
  /** How deleted files and opaque directories are written: as overlayfs has them, or as OCI `.wh.` files. */
  whiteouts: "overlay" | "oci";
  expectedBlobDigest: Digest;
  expectedSizeBytes: number;
  expectedDiffId: Digest;
}

export interface Unpacker {
  /**
   * Resolves when the layer is complete in the directory and both digests and the size are right. It is not yet
   * on disk: that is the snapshotter's layerCommit.
   *
   * After a rejection nothing works on the directory any more, and what is in it is garbage, for layerAbort.
   * @throws data-loss when a digest or the size differs; invalid-argument for a malformed or hostile archive
   *   (the message names the entry); resource-exhausted when the disk is full; cancelled on abort; an error of
   *   the source as it is.
   */
  unpack(request: UnpackRequest, signal: AbortSignal): Promise<{ usage: Usage }>;
  /** Cancels what is under way and ends the workers. Idempotent. */
  close(): Promise<void>;
}

export interface UnpackerOptions {
  /** Most worker threads; they start when needed and end when idle. */
  workers: number;
  /** The worker's entry file, where it is not beside this one (a bundle). */
  workerUrl?: URL;
  /** How long a worker without work stays, in milliseconds. Default 10,000. */
  idleMs?: number;
  /** Bytes of one layer handed to a worker and not yet consumed. Default 2 MiB. */
  inFlightBytes?: number;
}

/** @throws invalid-argument when `workers` is not at least 1. */
export { createUnpacker } from "./worker-pool.ts";
