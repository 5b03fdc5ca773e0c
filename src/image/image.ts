/**
 * Images as the engine sees them. The identity of an image is the digest of its configuration ("image id"),
 * sha256:…, the same in every place that names one (see docs/glossary.md). Pulling, listing and removing is
 * ImageService; how it is done is in the other files of this folder.
 */
import type { Digest } from "../base/digest.ts";
import type { Usage } from "../snapshotter/snapshotter.ts";

export interface ImageConfig {
  /** `user[:group]` as in the image, unparsed. */
  user: string;
  env: string[];
  entrypoint: string[];
  cmd: string[];
  workingDir: string;
  stopSignal: string;
  /** Absolute paths. */
  volumes: string[];
  labels: Record<string, string>;
  architecture: string;
  os: string;
}

export interface ImageRecord {
  /** Digest of the configuration. */
  id: Digest;
  /** "registry.k8s.io/pause:3.10": normalised, with host and tag. */
  repoTags: string[];
  /** "registry.k8s.io/pause@sha256:…", digest of the manifest or index that the reference named. */
  repoDigests: string[];
  manifestDigest: Digest;
  mediaType: string;
  /** Compressed size of configuration and layers in bytes, more than 0. */
  sizeBytes: number;
  config: ImageConfig;
  /** diffIDs, lowest layer first. */
  diffIds: Digest[];
  /** chainID of the topmost layer; undefined for an image without layers. */
  chainId?: Digest;
  pinned: boolean;
  pulledAtMs: number;
}

/** Credentials of one call. Never logged. */
export interface RegistryAuth {
  username?: string;
  password?: string;
  /** base64 of `username:password`. */
  auth?: string;
  serverAddress?: string;
  identityToken?: string;
  registryToken?: string;
}

export interface PullRequest {
  /** Reference as the user wrote it: "busybox", "host:5000/a/b:tag", "a@sha256:…". */
  reference: string;
  auth?: RegistryAuth;
}

export interface ImageService {
  /**
   * Resolves, downloads, verifies and unpacks; equal pulls under way at once share the work.
   * @throws invalid-argument (reference), not-found, unauthenticated, permission-denied, unavailable, data-loss (digest).
   */
  pull(request: PullRequest, signal: AbortSignal): Promise<ImageRecord>;
  /** By id, id prefix of at least 12 hex digits, or reference (tag or digest). Undefined where there is none. */
  get(nameOrId: string): ImageRecord | undefined;
  list(): ImageRecord[];
  /** Removes the image with all its tags and digests. Unknown names are no error. Disk is freed by collect. */
  remove(nameOrId: string, signal: AbortSignal): Promise<void>;
  /**
   * What the images take on disk: blobs kept and unpacked layers. A removed image no longer counts, also where its
   * disk is not free yet.
   */
  usage(): Promise<{ directory: string; usage: Usage; timestampNs: bigint }>;
  /** Raw configuration, for the verbose status. */
  rawConfig(id: Digest): Promise<string | undefined>;
  /** Deletes blobs, layers and snapshots that no image and no container needs. Keeps what a pull under way uses. */
  collect(): Promise<void>;
}
