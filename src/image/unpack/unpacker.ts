/**
 * The unpacker: takes the bytes of a layer blob as they arrive and writes the files of the layer.
 *
 *   source ─▶ sha256 (blob) ─▶ decompress ─▶ sha256 (diffID) ─▶ untar into the directory
 *
 * One stream from end to end, in a worker thread, with back-pressure: no more is taken from `source` than the
 * worker keeps up with. Nothing here makes a layer visible: the caller commits the directory when `unpack` has
 * resolved, and throws it away when it has rejected.
 */
import type { Digest } from "../../base/digest.ts";
import type { Usage } from "../../snapshotter/snapshotter.ts";

/** "auto" looks at the first bytes of the blob. */
export type Compression = "gzip" | "zstd" | "none" | "auto";

export interface UnpackRequest {
  /**
   * The blob as it is in the registry. Its chunks may be transferred to another thread, and are not to be used by
   * the producer afterwards. It is destroyed (`return`) when unpacking fails; an error that it throws
   * is what `unpack` rejects with.
   */
  source: AsyncIterable<Uint8Array>;
  compression: Compression;
  /** Absolute path of an empty directory. */
  directory: string;
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
   *
   * @throws data-loss for a wrong digest or size and for malformed compression or tar, invalid-argument for an entry that would
   *   leave the directory, resource-exhausted for a full disk, the reason of `signal` after an abort. When it rejects no thread
   *   writes into the directory any more.
   */
  unpack(request: UnpackRequest, signal: AbortSignal): Promise<UnpackResult>;
  /** Ends the worker threads. Running calls reject with unavailable. */
  close(): Promise<void>;
}
