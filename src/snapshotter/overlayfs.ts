/**
 * The snapshotter on overlayfs: a committed snapshot is nothing but a record, and preparing a container makes three
 * directories. See snapshotter.ts for the contract.
 *
 *   DIR/layers/HEX          one layer, its root with the mode and owner that the image gives it
 *   DIR/active/KEY/fs,work  what a container has written, and what overlayfs needs beside it
 *   DIR/empty               a lower directory where there is none
 *   DIR/trash               what is being deleted
 */
import { chmodSync, chownSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Digest } from "../base/digest.ts";
import { directoryUsage } from "../native/files.ts";
import { layeredFileKind, readLayeredFile } from "./layered-file.ts";
import { SnapshotBase, type SnapshotterOptions } from "./snapshot-base.ts";
import type { RootMetadata } from "./snapshot-store.ts";
import type { RootfsMount, Snapshotter, Usage } from "./snapshotter.ts";

/** `index` would tie an upper directory to its lowers by file handle, which a copied disk does not keep. */
const MOUNT_OPTIONS = ["index=off"];
const DEFAULT_ROOT: RootMetadata = { mode: 0o755, uid: 0, gid: 0 };

class OverlayfsSnapshotter extends SnapshotBase {
  readonly name = "overlayfs";
  protected readonly whiteouts = "overlay";
  readonly #empty: string;
  /** Lower directories of a chain, topmost first: the same for every container of an image. */
  readonly #chains = new Map<Digest, readonly string[]>();

  constructor(options: SnapshotterOptions) {
    super("overlayfs", options);
    this.#empty = join(this.directory, "empty");
    mkdirSync(this.#empty, { recursive: true, mode: 0o755 });
  }

  override async commit(chainId: Digest, diffId: Digest, parent: Digest | undefined): Promise<void> {
    if (this.checkCommit(chainId, diffId, parent) === "new") this.recordCommitted(chainId, diffId, parent);
  }

  override async prepare(key: string, parent: Digest | undefined): Promise<RootfsMount> {
    this.checkNew(key, parent);
    const directory = this.activePath(key);
    const root = parent === undefined ? DEFAULT_ROOT : this.#rootOf(parent);
    this.trash.discard(directory);
    mkdirSync(directory, { mode: 0o700 });
    mkdirSync(join(directory, "work"), { mode: 0o700 });
    const upper = join(directory, "fs");
    mkdirSync(upper, { mode: 0o700 });
    if (root.uid !== 0 || root.gid !== 0) chownSync(upper, root.uid, root.gid);
    chmodSync(upper, root.mode);
    this.recordSnapshot(key, "active", parent);
    return this.mount(key);
  }

  override async view(key: string, parent: Digest): Promise<RootfsMount> {
    this.checkNew(key, parent);
    this.recordSnapshot(key, "view", parent);
    return this.mount(key);
  }

  override mount(key: string): RootfsMount {
    const { kind, parent } = this.snapshotRecord(key);
    const lower = parent === undefined ? [] : [...this.#chain(parent)];
    if (kind === "active") {
      if (lower.length === 0) lower.push(this.#empty);
      const [upper, work] = [this.activePath(key, "fs"), this.activePath(key, "work")];
      return { type: "overlay", lower, upper, work, options: MOUNT_OPTIONS };
    }
    // Without an upper directory overlayfs wants two lower ones; and whiteouts need it even for one layer.
    if (lower.length === 1) lower.push(this.#empty);
    return { type: "overlay", lower, options: MOUNT_OPTIONS };
  }

  override async usage(name: string): Promise<Usage> {
    const layer = this.layerUsage(name);
    if (layer) return layer;
    if (this.snapshotRecord(name).kind === "view") return { bytes: 0, inodes: 0 };
    return directoryUsage(this.activePath(name, "fs"));
  }

  override async readFile(chainId: Digest, path: string, limitBytes: number): Promise<Buffer | undefined> {
    return readLayeredFile(this.#chain(chainId), path, limitBytes);
  }

  override fileKind(chainId: Digest, path: string): "file" | "directory" | "other" | undefined {
    return layeredFileKind(this.#chain(chainId), path);
  }

  protected override forget(chainId: Digest): void {
    this.#chains.delete(chainId);
  }

  /** From the topmost layer down to the lowest, or to one that hides all below it. */
  #chain(chainId: Digest): readonly string[] {
    const known = this.#chains.get(chainId);
    if (known) return known;
    const lower: string[] = [];
    for (let id: Digest | undefined = chainId; id !== undefined;) {
      const { diffId, parent }: { diffId: Digest; parent?: Digest } = this.committedRecord(id);
      lower.push(this.layerDirectories.path(diffId));
      id = this.layerDirectories.get(diffId)?.rootOpaque ? undefined : parent;
    }
    this.#chains.set(chainId, lower);
    return lower;
  }

  #rootOf(chainId: Digest): RootMetadata {
    return this.layerDirectories.get(this.committedRecord(chainId).diffId)?.root ?? DEFAULT_ROOT;
  }
}

/** Opens the snapshotter on its directory. `collect` is to be called before anything else. */
export function createOverlayfsSnapshotter(
  options: SnapshotterOptions,
): Snapshotter & { settled(): Promise<void> } {
  return new OverlayfsSnapshotter(options);
}
