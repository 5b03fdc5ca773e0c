/**
 * What both snapshotters have in common: records, layers, the chains of committed snapshots, and the rules of who may be
 * removed. How a rootfs comes to be is left to them.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Digest } from "../base/digest.ts";
import { GantryError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import { FilesystemSync } from "./filesystem-sync.ts";
import { LayerDirectories } from "./layer-directories.ts";
import {
  type ActiveRecord,
  type CommittedRecord,
  RecordMap,
  type SnapshotStore,
  snapshotInfo,
} from "./snapshot-store.ts";
import type { LayerIngest, RootfsMount, SnapshotInfo, Snapshotter, Usage } from "./snapshotter.ts";
import { Trash } from "./trash.ts";

export interface SnapshotterOptions {
  /** Absolute path of a directory of the snapshotter's own; made when missing, mode 0700. */
  directory: string;
  /** Where layers and committed snapshots are recorded: has to survive a power loss. */
  store: SnapshotStore;
  /** Where active snapshots and views are recorded: has to survive the process. Default: `store`. */
  activeStore?: SnapshotStore;
  log: Logger;
}

const KEY = /^[A-Za-z0-9][A-Za-z0-9:._-]{0,199}$/;

export abstract class SnapshotBase implements Snapshotter {
  abstract readonly name: string;
  protected abstract readonly whiteouts: LayerIngest["whiteouts"];
  readonly directory: string;
  protected readonly trash: Trash;
  protected readonly sync: FilesystemSync;
  protected readonly layerDirectories: LayerDirectories;
  protected readonly committed: RecordMap<CommittedRecord>;
  protected readonly snapshots: RecordMap<ActiveRecord>;
  /** Keys whose directory is being made. */
  protected readonly preparing = new Set<string>();
  /** How many committed and other snapshots have a chainID as their parent, and a diffID as their layer. */
  readonly #children = new Map<Digest, number>();
  readonly #layerUsers = new Map<Digest, number>();

  constructor(prefix: string, options: SnapshotterOptions) {
    const { directory, store, activeStore = store, log } = options;
    this.directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    mkdirSync(this.activePath(), { recursive: true, mode: 0o700 });
    this.trash = new Trash(join(directory, "trash"), log);
    this.sync = new FilesystemSync(directory);
    this.layerDirectories = new LayerDirectories(
      join(directory, "layers"),
      store.table(`${prefix}_layers`),
      this.trash,
      this.sync,
    );
    this.committed = new RecordMap(store.table(`${prefix}_committed`));
    this.snapshots = new RecordMap(activeStore.table(`${prefix}_snapshots`));
    for (const record of this.committed.values()) this.#count(record, 1);
    for (const record of this.snapshots.values()) this.#count(record, 1);
  }

  abstract commit(chainId: Digest, diffId: Digest, parent: Digest | undefined): Promise<void>;
  abstract prepare(key: string, parent: Digest | undefined): Promise<RootfsMount>;
  abstract view(key: string, parent: Digest): Promise<RootfsMount>;
  abstract mount(key: string): RootfsMount;
  abstract usage(name: string): Promise<Usage>;
  abstract fileKind(chainId: Digest, path: string): "file" | "directory" | "other" | undefined;
  abstract readFile(chainId: Digest, path: string, limitBytes: number): Promise<Buffer | undefined>;

  hasLayer(diffId: Digest): boolean {
    return this.layerDirectories.get(diffId) !== undefined;
  }

  async layerBegin(diffId: Digest): Promise<LayerIngest> {
    return { directory: this.layerDirectories.begin(diffId), whiteouts: this.whiteouts };
  }

  async layerCommit(diffId: Digest, usage: Usage): Promise<void> {
    await this.layerDirectories.commit(diffId, usage);
  }

  async layerAbort(diffId: Digest): Promise<void> {
    this.layerDirectories.abort(diffId);
  }

  async layerRemove(diffId: Digest): Promise<void> {
    if ((this.#layerUsers.get(diffId) ?? 0) > 0) {
      throw new GantryError("failed-precondition", `layer ${diffId} is part of a committed snapshot`);
    }
    this.layerDirectories.remove(diffId);
  }

  layers(): { diffId: Digest; usage: Usage }[] {
    return this.layerDirectories.list();
  }

  async remove(name: string): Promise<void> {
    const committed = this.committed.get(name);
    if (committed) {
      if ((this.#children.get(name as Digest) ?? 0) > 0) {
        throw new GantryError("failed-precondition", `snapshot ${name} has children`);
      }
      this.committed.delete(name);
      this.#count(committed, -1);
      this.forget(name as Digest);
      return;
    }
    const snapshot = this.snapshots.get(name);
    if (!snapshot) return;
    // Without its record the directory is garbage already, so a crash in between loses nothing.
    this.snapshots.delete(name);
    this.#count(snapshot, -1);
    if (snapshot.kind === "active") this.trash.discard(this.activePath(name));
  }

  stat(name: string): SnapshotInfo | undefined {
    const record = this.committed.get(name) ?? this.snapshots.get(name);
    return record && snapshotInfo(name, record);
  }

  list(): SnapshotInfo[] {
    return [...this.committed.entries(), ...this.snapshots.entries()].map(([name, record]) =>
      snapshotInfo(name, record),
    );
  }

  /** Resolves when the directories are out of the way; what they hold is deleted in the background. */
  async collect(): Promise<void> {
    this.trash.resume();
    this.layerDirectories.collect();
    this.trash.discardOthers(
      this.activePath(),
      (name) => this.preparing.has(name) || this.snapshots.has(name),
    );
  }

  /** Resolves when everything removed so far has been deleted. For tests and for a clean end. */
  async settled(): Promise<void> {
    await this.trash.emptied();
  }

  /** A committed snapshot was removed. */
  protected forget(_chainId: Digest): void {}

  protected activePath(...parts: string[]): string {
    return join(this.directory, "active", ...parts);
  }

  /** @throws already-exists, not-found (parent), invalid-argument (key). */
  protected checkNew(key: string, parent: Digest | undefined): void {
    if (!KEY.test(key)) throw new GantryError("invalid-argument", `snapshot key ${JSON.stringify(key)}`);
    if (this.snapshots.has(key) || this.committed.has(key) || this.preparing.has(key)) {
      throw new GantryError("already-exists", `snapshot ${key} exists`);
    }
    if (parent !== undefined && !this.committed.has(parent)) {
      throw new GantryError("not-found", `snapshot ${parent} of which ${key} is to be made is not there`);
    }
  }

  /** @throws not-found for a layer or parent that is not there, already-exists for the same chainID of another layer. */
  protected checkCommit(chainId: Digest, diffId: Digest, parent: Digest | undefined): "new" | "known" {
    const known = this.committed.get(chainId);
    if (known) {
      if (known.diffId === diffId && known.parent === parent) return "known";
      throw new GantryError("already-exists", `snapshot ${chainId} is of another layer or parent`);
    }
    if (!this.hasLayer(diffId)) throw new GantryError("not-found", `layer ${diffId} is not there`);
    if (parent !== undefined && !this.committed.has(parent)) {
      throw new GantryError("not-found", `snapshot ${parent}, parent of ${chainId}, is not there`);
    }
    return "new";
  }

  protected recordCommitted(chainId: Digest, diffId: Digest, parent: Digest | undefined): void {
    const record = { diffId, createdAtMs: Date.now(), ...(parent !== undefined && { parent }) };
    this.committed.put(chainId, record);
    this.#count(record, 1);
  }

  protected recordSnapshot(key: string, kind: "active" | "view", parent: Digest | undefined): void {
    const record = { kind, createdAtMs: Date.now(), ...(parent !== undefined && { parent }) };
    this.snapshots.put(key, record);
    this.#count(record, 1);
  }

  /** Keeps the parent from being removed while a snapshot of it is being made; the caller lets go of it in the end. */
  protected holdParent(parent: Digest | undefined): Disposable {
    const held = { kind: "active", createdAtMs: 0, ...(parent !== undefined && { parent }) } as const;
    this.#count(held, 1);
    return { [Symbol.dispose]: () => this.#count(held, -1) };
  }

  protected committedRecord(chainId: Digest): CommittedRecord {
    const record = this.committed.get(chainId);
    if (!record) throw new GantryError("not-found", `snapshot ${chainId} is not there`);
    return record;
  }

  protected snapshotRecord(key: string): ActiveRecord {
    const record = this.snapshots.get(key);
    if (!record) throw new GantryError("not-found", `snapshot ${key} is not there`);
    return record;
  }

  /** Usage of the layer of a committed snapshot; undefined for the others. */
  protected layerUsage(name: string): Usage | undefined {
    const record = this.committed.get(name);
    return record && this.layerDirectories.get(record.diffId)?.usage;
  }

  #count(record: CommittedRecord | ActiveRecord, change: number): void {
    const add = (counts: Map<Digest, number>, id: Digest | undefined): void => {
      if (id === undefined) return;
      const count = (counts.get(id) ?? 0) + change;
      if (count === 0) counts.delete(id);
      else counts.set(id, count);
    };
    add(this.#children, record.parent);
    if ("diffId" in record) add(this.#layerUsers, record.diffId);
  }
}
