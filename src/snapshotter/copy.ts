/**
 * The snapshotter for any filesystem: committed snapshots are whole trees, merged layer by layer, and a container gets a
 * copy of its own, sharing data blocks where the filesystem can. Slow, and right. See snapshotter.ts for the contract.
 *
 *   DIR/layers/HEX      one layer, with OCI whiteout files
 *   DIR/committed/HEX   the merged tree of a chain
 *   DIR/active/KEY/fs   a container's root filesystem
 *   DIR/scratch, trash  while copying, while deleting
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Digest, digestHex } from "../base/digest.ts";
import { wrapError } from "../base/errors.ts";
import { newIdentifier } from "../base/identifier.ts";
import { copyTree, directoryUsage } from "../native/files.ts";
import { layeredFileKind, readLayeredFile } from "./layered-file.ts";
import { SnapshotBase, type SnapshotterOptions } from "./snapshot-base.ts";
import type { RootfsMount, Snapshotter, Usage } from "./snapshotter.ts";

class CopySnapshotter extends SnapshotBase {
  readonly name = "copy";
  protected readonly whiteouts = "oci";
  readonly #committing = new Map<Digest, Promise<void>>();

  constructor(options: SnapshotterOptions) {
    super("copy", options);
    mkdirSync(join(this.directory, "committed"), { recursive: true, mode: 0o700 });
    mkdirSync(join(this.directory, "scratch"), { recursive: true, mode: 0o700 });
  }

  override async commit(chainId: Digest, diffId: Digest, parent: Digest | undefined): Promise<void> {
    const running = this.#committing.get(chainId);
    if (running) return running;
    if (this.checkCommit(chainId, diffId, parent) === "known") return;
    const merging = this.#merge(chainId, diffId, parent).finally(() => this.#committing.delete(chainId));
    this.#committing.set(chainId, merging);
    return merging;
  }

  override async prepare(key: string, parent: Digest | undefined): Promise<RootfsMount> {
    this.checkNew(key, parent);
    const directory = this.activePath(key);
    this.preparing.add(key);
    // Copying takes a while, in which a collection may come by.
    using _held = this.holdParent(parent);
    try {
      this.trash.discard(directory);
      mkdirSync(directory, { mode: 0o700 });
      mkdirSync(join(directory, "fs"), { mode: 0o755 });
      if (parent !== undefined) await this.#copy(this.#committedPath(parent), join(directory, "fs"), false);
      this.recordSnapshot(key, "active", parent);
    } catch (error) {
      this.trash.discard(directory);
      throw wrapError(`snapshot ${key}`, error);
    } finally {
      this.preparing.delete(key);
    }
    return this.mount(key);
  }

  override async view(key: string, parent: Digest): Promise<RootfsMount> {
    this.checkNew(key, parent);
    this.recordSnapshot(key, "view", parent);
    return this.mount(key);
  }

  override mount(key: string): RootfsMount {
    const { kind, parent } = this.snapshotRecord(key);
    if (kind === "view" && parent !== undefined) {
      return { type: "bind", source: this.#committedPath(parent), readonly: true };
    }
    return { type: "bind", source: this.activePath(key, "fs"), readonly: false };
  }

  override async usage(name: string): Promise<Usage> {
    const layer = this.layerUsage(name);
    if (layer) return layer;
    if (this.snapshotRecord(name).kind === "view") return { bytes: 0, inodes: 0 };
    return directoryUsage(this.activePath(name, "fs"));
  }

  override async readFile(chainId: Digest, path: string, limitBytes: number): Promise<Buffer | undefined> {
    this.committedRecord(chainId);
    return readLayeredFile([this.#committedPath(chainId)], path, limitBytes);
  }

  override fileKind(chainId: Digest, path: string): "file" | "directory" | "other" | undefined {
    this.committedRecord(chainId);
    return layeredFileKind([this.#committedPath(chainId)], path);
  }

  override async collect(): Promise<void> {
    await super.collect();
    const kept = new Set(Array.from(this.#committing.keys(), digestHex));
    for (const [chainId] of this.committed.entries()) kept.add(digestHex(chainId as Digest));
    this.trash.discardOthers(join(this.directory, "committed"), (name) => kept.has(name));
    const copying = this.preparing.size + this.#committing.size > 0;
    if (!copying) this.trash.discardOthers(join(this.directory, "scratch"), () => false);
  }

  protected override forget(chainId: Digest): void {
    this.trash.discard(this.#committedPath(chainId));
  }

  #committedPath(chainId: Digest): string {
    return join(this.directory, "committed", digestHex(chainId));
  }

  async #merge(chainId: Digest, diffId: Digest, parent: Digest | undefined): Promise<void> {
    const target = this.#committedPath(chainId);
    try {
      this.trash.discard(target);
      mkdirSync(target, { mode: 0o700 });
      if (parent !== undefined) await this.#copy(this.#committedPath(parent), target, false);
      await this.#copy(this.layerDirectories.path(diffId), target, true);
      await this.sync.sync();
      // What it is made of may have gone meanwhile.
      this.checkCommit(chainId, diffId, parent);
      this.recordCommitted(chainId, diffId, parent);
    } catch (error) {
      this.trash.discard(target);
      throw wrapError(`snapshot ${chainId}`, error);
    }
  }

  async #copy(source: string, destination: string, whiteouts: boolean): Promise<void> {
    const scratch = join(this.directory, "scratch", newIdentifier());
    mkdirSync(scratch, { mode: 0o700 });
    try {
      await copyTree(source, destination, scratch, whiteouts);
    } finally {
      this.trash.discard(scratch);
    }
  }
}

/** Opens the snapshotter on its directory. `collect` is to be called before anything else. */
export function createCopySnapshotter(
  options: SnapshotterOptions,
): Snapshotter & { settled(): Promise<void> } {
  return new CopySnapshotter(options);
}
