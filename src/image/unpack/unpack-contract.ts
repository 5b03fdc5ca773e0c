/**
 * The unpacker: takes the bytes of a layer blob as they arrive and writes the files of the layer.
 *
 *   source ─▶ sha256 (blob) ─▶ decompress ─▶ sha256 (diffID) ─▶ tar entries ─▶ files below the directory
 *
 * One stream from end to end, in a worker thread, with back-pressure and in memory that does not depend on the
 * layer. Nothing here makes a layer visible: the caller commits the directory when `unpack` has resolved, and
 * throws it away when it has rejected. worker-pool.ts is what stands behind this interface.
 */
import type { Digest } from "../../base/digest.ts";
import type { Usage } from "../../snapshotter/snapshotter.ts";

/** "auto" looks at the first bytes of the blob. */
export type Compression = "gzip" | "zstd" | "none" | "auto";

export interface UnpackRequest {
  /**
   * The blob as it is in the registry. Its chunks are copied into blocks that go to the worker, so the producer
   * keeps them. It is destroyed (`return`) when unpacking fails; an error that it throws is what `unpack` rejects
   * with.
   */
  source: AsyncIterable<Uint8Array>;
  compression: Compression;
  /** Absolute path of an empty directory, which becomes the root of the layer. */
  directory: string;
  /** How deleted files and opaque directories are written: as overlayfs has them, or as OCI `.wh.` files. */
  whiteouts: "overlay" | "oci";
  expectedBlobDigest: Digest;
  /** Bytes of the blob. More or fewer is data-loss. */
  expectedSizeBytes: number;
  expectedDiffId: Digest;
  /** Also writes the compressed blob to this new file (0600), synced before `unpack` resolves. */
  keepBlob?: string;
}

export interface UnpackResult {
  /** Both are equal to what was expected, else `unpack` had rejected. */
  blobDigest: Digest;
  diffId: Digest;
  usage: Usage;
}

export interface Unpacker {
  /**
   * Resolves when the whole blob has been read to its last byte, both digests match and all files are written.
   * They are not yet on disk: that is the snapshotter's layerCommit.
   *
   * @throws data-loss when a digest or the size differs; invalid-argument for a malformed or hostile archive, its
   *   entry named; resource-exhausted for a full disk; the reason of `signal` after an abort; an error of the
   *   source as it is. When it rejects no thread writes into the directory any more, and what is in it is garbage.
   */
  unpack(request: UnpackRequest, signal: AbortSignal): Promise<UnpackResult>;
  /** Ends the worker threads. Running calls reject with unavailable. Idempotent. */
  close(): Promise<void>;
}

export interface UnpackerOptions {
  /** Most worker threads; they start when needed and end when idle. */
  workers: number;
  /** The worker's entry file, where it is not beside the sources (a bundle). */
  workerUrl?: URL;
  /** How long a worker without work stays, in milliseconds. Default 10,000. */
  idleMs?: number;
  /** Bytes of one layer handed to a worker and not yet consumed. Default 2 MiB. */
  inFlightBytes?: number;
}
