/**
 * The content store: blobs by digest, as they are in the registry.
 *
 * Manifests, indexes and configurations are kept here; layers only where the operator wants them, as their
 * unpacked form is what runs.
 *
 * Contract: a blob is in the store when it is whole and on disk, across a loss of power; what a crash cuts off is
 * never seen again. `read` verifies, so damage on disk is an error and never an image. Nothing is ever changed in
 * place. Calls are idempotent. It knows nothing of references: whoever needs a blob protects it from `remove`.
 */
import type { Digest } from "../base/digest.ts";

export interface BlobInfo {
  digest: Digest;
  sizeBytes: number;
}

export interface BlobIngest {
  /** Absolute path at which the caller creates and syncs the file. */
  path: string;
  /** Makes the file a blob. The caller has verified it. */
  commit(digest: Digest): Promise<void>;
  /** Drops it. No error where there is nothing, or after commit. */
  abort(): Promise<void>;
}

export interface ContentStore {
  has(digest: Digest): boolean;
  /**
   * A blob whole; undefined where there is none.
   * @throws data-loss when it does not match its digest, resource-exhausted when it is larger than the limit.
   */
  read(digest: Digest, limitBytes: number): Promise<Buffer | undefined>;
  /** @throws data-loss when the bytes do not match the digest, resource-exhausted when the disk is full. */
  write(digest: Digest, bytes: Uint8Array): Promise<void>;
  /** For a blob too large for memory. */
  ingest(): BlobIngest;
  list(): BlobInfo[];
  remove(digest: Digest): Promise<void>;
}
