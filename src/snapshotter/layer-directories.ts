/**
 * The unpacked layers of a snapshotter: one directory for each diffID, complete and on disk before its record.
 *
 *   (nothing) ──begin──▶ directory ──commit──▶ directory and record ──remove──▶ (nothing)
 *                            └──abort──▶ (nothing)
 */
import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Digest, digestHex } from "../base/digest.ts";
import { GantryError } from "../base/errors.ts";
import { lookupFile } from "../native/files.ts";
import type { FilesystemSync } from "./filesystem-sync.ts";
import { type LayerRecord, RecordMap, type SnapshotTable } from "./snapshot-store.ts";
import type { Usage } from "./snapshotter.ts";
import type { Trash } from "./trash.ts";

const NO_PATH = Buffer.alloc(0);

export class LayerDirectories {
  readonly #directory: string;
  readonly #records: RecordMap<LayerRecord>;
  readonly #trash: Trash;
  readonly #sync: FilesystemSync;
  /** Begun and not yet committed, by the hex of the diffID. */
  readonly #begun = new Set<string>();

  constructor(directory: string, table: SnapshotTable<LayerRecord>, trash: Trash, sync: FilesystemSync) {
    this.#directory = directory;
    this.#records = new RecordMap(table);
    this.#trash = trash;
    this.#sync = sync;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  get(diffId: Digest): LayerRecord | undefined {
    return this.#records.get(diffId);
  }

  list(): { diffId: Digest; usage: Usage }[] {
    return Array.from(this.#records.entries(), ([diffId, { usage }]) => ({
      diffId: diffId as Digest,
      usage,
    }));
  }

  path(diffId: Digest): string {
    return join(this.#directory, digestHex(diffId));
  }

  /** A fresh, empty directory, mode 0755. @throws already-exists for a committed layer. */
  begin(diffId: Digest): string {
    if (this.#records.has(diffId)) throw new GantryError("already-exists", `layer ${diffId} exists`);
    const path = this.path(diffId);
    this.#trash.discard(path);
    mkdirSync(path);
    chmodSync(path, 0o755);
    this.#begun.add(digestHex(diffId));
    return path;
  }

  /** @throws failed-precondition for a layer that was not begun. Idempotent for a committed one. */
  async commit(diffId: Digest, usage: Usage): Promise<void> {
    if (this.#records.has(diffId)) return;
    const root = lookupFile(this.path(diffId), NO_PATH);
    if (!root || !this.#begun.has(digestHex(diffId))) {
      throw new GantryError("failed-precondition", `layer ${diffId} was not begun`);
    }
    await this.#sync.sync();
    const { mode, uid, gid, opaque } = root;
    const record = { usage, root: { mode: mode & 0o7777, uid, gid }, rootOpaque: opaque };
    this.#records.put(diffId, record);
    this.#begun.delete(digestHex(diffId));
  }

  abort(diffId: Digest): void {
    if (this.#records.has(diffId)) return;
    this.#begun.delete(digestHex(diffId));
    this.#trash.discard(this.path(diffId));
  }

  /** The caller has made sure that nothing uses it. */
  remove(diffId: Digest): void {
    if (!this.#records.has(diffId)) return;
    this.#records.delete(diffId);
    this.#trash.discard(this.path(diffId));
  }

  collect(): void {
    const kept = new Set(this.#begun);
    for (const [diffId] of this.#records.entries()) kept.add(digestHex(diffId as Digest));
    this.#trash.discardOthers(this.#directory, (name) => kept.has(name));
  }
}
