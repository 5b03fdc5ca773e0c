/**
 * The snapshotter: keeps unpacked layers and gives containers a root filesystem made of them.
 *
 * Vocabulary
 *   layer      the unpacked diff of one image layer, keyed by its diffID. It depends on no parent, so all layers
 *              of an image unpack at once, and two images that share a diffID share its directory.
 *   committed  a read-only snapshot of a chain of layers, named by its chainID, with a parent chainID.
 *   active     a writable snapshot over a committed one, keyed by a container id.
 *   view       a read-only snapshot over a committed one, keyed by its user.
 *
 * Story of a pull: `layerBegin` for each missing diffID → unpack into its directory → `layerCommit` → `commit`
 * of each chainID, bottom up. Story of a container: `prepare` → mounts → `remove`.
 *
 * Contract: a record appears in one transaction after its directory is complete and, for layers, after its
 * content is on disk (syncfs); a crash in between leaves a directory without a record, which `collect` deletes.
 * Every call is idempotent where it says so. Keys are digests, 64-hex identifiers, or such an identifier, a dot and a
 * number; never paths. Directories
 * are 0700, so no local user reaches a setuid file in a rootfs.
 */
import type { Digest } from "../base/digest.ts";

/**
 * How a rootfs is mounted, by whoever makes the container's mount namespace; the snapshotter itself mounts
 * nothing on the host.
 */
export type RootfsMount =
  /** `lower` from the topmost layer to the lowest; without `upper` the mount is read-only. */
  | { type: "overlay"; lower: string[]; upper?: string; work?: string; options: string[] }
  | { type: "bind"; source: string; readonly: boolean };

export interface LayerIngest {
  /** Absolute path of an empty directory, mode 0755, to unpack into. */
  directory: string;
  /** How a deleted file and an opaque directory are to be written: as overlayfs has them, or as OCI `.wh.` files. */
  whiteouts: "overlay" | "oci";
}

export interface Usage {
  bytes: number;
  inodes: number;
}

export type SnapshotKind = "committed" | "active" | "view";

export interface SnapshotInfo {
  /** chainID of a committed snapshot, else the key that it was prepared with. */
  name: string;
  kind: SnapshotKind;
  parent?: Digest;
  createdAtMs: number;
}

export interface Snapshotter {
  /** "overlayfs" or "copy". */
  readonly name: string;
  /** Directory whose filesystem holds the snapshots, for ImageFsInfo. */
  readonly directory: string;

  hasLayer(diffId: Digest): boolean;
  /** A fresh directory for this diffID; what an earlier, cut-off attempt left is deleted first. */
  layerBegin(diffId: Digest): Promise<LayerIngest>;
  /** Makes the unpacked layer durable and visible. */
  layerCommit(diffId: Digest, usage: Usage): Promise<void>;
  /** Drops a layer that was begun. No error where there is none. */
  layerAbort(diffId: Digest): Promise<void>;
  /** Drops a committed layer. @throws failed-precondition while a committed snapshot uses it. */
  layerRemove(diffId: Digest): Promise<void>;
  layers(): { diffId: Digest; usage: Usage }[];

  /** Makes the chain `parent` + `diffId` known as `chainId`. Idempotent. The layer must be committed. */
  commit(chainId: Digest, diffId: Digest, parent: Digest | undefined): Promise<void>;
  /** A writable snapshot. @throws already-exists, not-found (parent). */
  prepare(key: string, parent: Digest | undefined): Promise<RootfsMount>;
  /** A read-only snapshot. @throws already-exists, not-found (parent). */
  view(key: string, parent: Digest): Promise<RootfsMount>;
  /** The mount of an active or view snapshot. @throws not-found. */
  mount(key: string): RootfsMount;
  /** Idempotent. @throws failed-precondition for a committed snapshot that has children. */
  remove(name: string): Promise<void>;
  stat(name: string): SnapshotInfo | undefined;
  list(): SnapshotInfo[];
  /** Disk usage of what an active snapshot has written, or of the one layer of a committed one. */
  usage(name: string): Promise<Usage>;

  /**
   * Reads one file of a committed snapshot as a container would see it: whiteouts and symbolic links resolved
   * within the snapshot. Undefined where it does not exist or is not a regular file.
   * @throws resource-exhausted when it is larger than `limitBytes` (CVE-2026-47262).
   */
  readFile(chainId: Digest, path: string, limitBytes: number): Promise<Buffer | undefined>;

  /**
   * What a path of a committed snapshot leads to, resolved as readFile does it; undefined where there is nothing.
   * @throws not-found (snapshot).
   */
  fileKind(chainId: Digest, path: string): "file" | "directory" | "other" | undefined;

  /** Deletes every directory that is in no record. Called at start, before anything else runs. */
  collect(): Promise<void>;
}
