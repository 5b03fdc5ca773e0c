/**
 * Image records: the durable list of images and its lookups in memory.
 *
 *   table images (images.db)    id = image id (digest of the configuration)    record = ImageRecord and its blobs
 *
 * A tag belongs to one image at a time; a digest, as a name, too. An image that loses its last tag stays until it
 * is removed. The record is written after everything that it names is in place.
 */
import { isDigest, type Digest } from "../base/digest.ts";
import { GantryError } from "../base/errors.ts";
import type { RecordStore, RecordTable } from "../store/record-store.ts";
import type { ImageRecord } from "./image.ts";
import { formatReference, parseReference } from "./reference.ts";

/** `pinned` is not kept but follows from the configuration at each start. */
export interface StoredImage extends ImageRecord {
  /** Blobs of the content store that belong to it: configuration, manifest, indexes, kept layers. */
  blobs: Digest[];
}

const PREFIX = /^(?:sha256:)?([0-9a-f]{12,64})$/;

export class ImageRecords {
  readonly #store: RecordStore;
  readonly #table: RecordTable<StoredImage>;
  readonly #byId = new Map<Digest, StoredImage>();
  /** Tags and digested names, to the image that has them. */
  readonly #byName = new Map<string, Digest>();

  constructor(store: RecordStore) {
    this.#store = store;
    this.#table = store.table<StoredImage>("images");
    for (const { record } of this.#table.list()) this.#remember(record);
  }

  list(): StoredImage[] {
    return [...this.#byId.values()];
  }

  byId(id: Digest): StoredImage | undefined {
    return this.#byId.get(id);
  }

  /** @param name a normalised tag or digested name. */
  byName(name: string): StoredImage | undefined {
    const id = this.#byName.get(name);
    return id === undefined ? undefined : this.#byId.get(id);
  }

  /**
   * By id, by reference as a user writes it, or by a unique prefix of the id.
   *
   * @throws invalid-argument for a prefix of several ids.
   */
  find(nameOrId: string): StoredImage | undefined {
    const full = nameOrId.startsWith("sha256:") ? nameOrId : `sha256:${nameOrId}`;
    if (isDigest(full)) return this.byId(full);
    const named = this.#findByReference(nameOrId);
    if (named) return named;
    const prefix = PREFIX.exec(nameOrId)?.[1];
    if (prefix === undefined) return undefined;
    const matches = this.list().filter(({ id }) => id.startsWith(`sha256:${prefix}`));
    if (matches.length > 1)
      throw new GantryError("invalid-argument", `image id prefix "${nameOrId}" is ambiguous`);
    return matches[0];
  }

  /**
   * Adds the image, or adds its names to the record that is there; takes the names from the images that had them.
   * One transaction.
   */
  save(image: StoredImage): StoredImage {
    const before = this.#byId.get(image.id);
    const saved: StoredImage = {
      ...image,
      repoTags: union(before?.repoTags, image.repoTags),
      repoDigests: union(before?.repoDigests, image.repoDigests),
      blobs: union(before?.blobs, image.blobs),
    };
    const changed = [saved];
    for (const other of this.#byId.values()) {
      if (other.id === image.id) continue;
      const repoTags = other.repoTags.filter((tag) => !saved.repoTags.includes(tag));
      const repoDigests = other.repoDigests.filter((name) => !saved.repoDigests.includes(name));
      if (repoTags.length < other.repoTags.length || repoDigests.length < other.repoDigests.length) {
        changed.push({ ...other, repoTags, repoDigests });
      }
    }
    this.#store.transaction(() => {
      for (const record of changed) this.#table.put(record.id, record);
    });
    for (const record of changed) this.#forget(record.id);
    for (const record of changed) this.#remember(record);
    return saved;
  }

  delete(id: Digest): void {
    this.#store.transaction(() => this.#table.delete(id));
    this.#forget(id);
  }

  #findByReference(text: string): StoredImage | undefined {
    try {
      return this.byName(formatReference(parseReference(text)));
    } catch (error) {
      if (error instanceof GantryError && error.kind === "invalid-argument") return undefined;
      throw error;
    }
  }

  #remember(image: StoredImage): void {
    this.#byId.set(image.id, image);
    for (const name of [...image.repoTags, ...image.repoDigests]) this.#byName.set(name, image.id);
  }

  #forget(id: Digest): void {
    const image = this.#byId.get(id);
    if (!image) return;
    this.#byId.delete(id);
    for (const name of [...image.repoTags, ...image.repoDigests]) {
      if (this.#byName.get(name) === id) this.#byName.delete(name);
    }
  }
}

function union<T>(before: readonly T[] | undefined, added: readonly T[]): T[] {
  return [...new Set([...(before ?? []), ...added])];
}
