/**
 * What a snapshotter writes down, and where. The store is the record store of src/store, asked for by shape so that
 * this module depends on none.
 *
 *   NAME_layers     id diffID               usage, rootOpaque, root: mode, uid, gid     power-loss durability
 *   NAME_committed  id chainID              diffId, parent, createdAtMs                  power-loss durability
 *   NAME_snapshots  id key                  kind, parent, createdAtMs                    crash durability will do
 *
 * NAME is "overlayfs" or "copy", so both can be in one store. All records are read once, when the snapshotter is made,
 * and kept in memory: every question is answered from there.
 */
import type { Digest } from "../base/digest.ts";
import type { SnapshotInfo, Usage } from "./snapshotter.ts";

export interface SnapshotTable<T> {
  put(id: string, record: T): void;
  delete(id: string): void;
  list(): { id: string; record: T }[];
}

/** The part of a RecordStore that is needed here. */
export interface SnapshotStore {
  table<T>(name: string): SnapshotTable<T>;
}

/** The metadata of a root directory, which a merged filesystem takes from its topmost layer. */
export interface RootMetadata {
  mode: number;
  uid: number;
  gid: number;
}

export interface LayerRecord {
  usage: Usage;
  root: RootMetadata;
  /** The layer hides everything below it. overlayfs does not look for that on a root. */
  rootOpaque: boolean;
}

export interface CommittedRecord {
  diffId: Digest;
  parent?: Digest;
  createdAtMs: number;
}

export interface ActiveRecord {
  kind: "active" | "view";
  parent?: Digest;
  createdAtMs: number;
}

/** A table and its content in memory; a write goes to the table first. */
export class RecordMap<T> {
  readonly #table: SnapshotTable<T>;
  readonly #records = new Map<string, T>();

  constructor(table: SnapshotTable<T>) {
    this.#table = table;
    for (const { id, record } of table.list()) this.#records.set(id, record);
  }

  get(id: string): T | undefined {
    return this.#records.get(id);
  }

  has(id: string): boolean {
    return this.#records.has(id);
  }

  put(id: string, record: T): void {
    this.#table.put(id, record);
    this.#records.set(id, record);
  }

  delete(id: string): void {
    this.#table.delete(id);
    this.#records.delete(id);
  }

  entries(): IterableIterator<[string, T]> {
    return this.#records.entries();
  }

  values(): IterableIterator<T> {
    return this.#records.values();
  }
}

export function snapshotInfo(name: string, record: CommittedRecord | ActiveRecord): SnapshotInfo {
  const kind = "kind" in record ? record.kind : "committed";
  return {
    name,
    kind,
    createdAtMs: record.createdAtMs,
    ...(record.parent !== undefined && { parent: record.parent }),
  };
}
