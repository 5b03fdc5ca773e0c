/**
 * The content store on a filesystem.
 *
 *   DIRECTORY/blobs/sha256/HEX    0600, complete
 *   DIRECTORY/ingest/RANDOM       being written; whatever a crash leaves here is deleted at the next start
 *
 * Write, fsync, rename, fsync of the directory. One process has a directory at a time.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { open, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { digestHex, isDigest, type Digest } from "../base/digest.ts";
import { errnoCode, GantryError } from "../base/errors.ts";
import { failpoint } from "../base/failpoint.ts";
import type { BlobInfo, BlobIngest, ContentStore } from "./content-store.ts";
import { diskError } from "./disk-error.ts";

export class FileContentStore implements ContentStore {
  readonly #blobs: string;
  readonly #ingests: string;
  readonly #sizes = new Map<Digest, number>();

  /** Creates the directories (0700) where they are missing and reads what is there. */
  constructor(directory: string) {
    this.#blobs = join(directory, "blobs", "sha256");
    this.#ingests = join(directory, "ingest");
    mkdirSync(this.#blobs, { recursive: true, mode: 0o700 });
    rmSync(this.#ingests, { recursive: true, force: true });
    mkdirSync(this.#ingests, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(this.#blobs)) {
      const digest = `sha256:${name}`;
      if (isDigest(digest)) this.#sizes.set(digest, statSync(join(this.#blobs, name)).size);
    }
  }

  has(digest: Digest): boolean {
    return this.#sizes.has(digest);
  }

  async read(digest: Digest, limitBytes: number): Promise<Buffer | undefined> {
    const size = this.#sizes.get(digest);
    if (size === undefined) return undefined;
    if (size > limitBytes)
      throw new GantryError("resource-exhausted", `blob ${digest} is larger than ${limitBytes} bytes`);
    let bytes: Buffer;
    try {
      bytes = await readFile(this.#path(digest));
    } catch (error) {
      if (errnoCode(error) === "ENOENT") return undefined;
      throw diskError(`blob ${digest}`, error);
    }
    if (!matches(bytes, digest))
      throw new GantryError("data-loss", `blob ${digest} is damaged on disk: ${this.#path(digest)}`);
    return bytes;
  }

  async write(digest: Digest, bytes: Uint8Array): Promise<void> {
    if (!matches(bytes, digest))
      throw new GantryError("data-loss", `blob ${digest} does not match its digest`);
    if (this.has(digest)) return;
    const ingest = this.ingest();
    try {
      const file = await open(ingest.path, "wx", 0o600);
      try {
        await file.writeFile(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
      await ingest.commit(digest);
    } catch (error) {
      await ingest.abort();
      throw diskError(`blob ${digest}`, error);
    }
  }

  ingest(): BlobIngest {
    const path = join(this.#ingests, randomBytes(16).toString("hex"));
    return {
      path,
      commit: async (digest) => {
        failpoint("content-store:ingest");
        const { size } = await stat(path);
        await rename(path, this.#path(digest));
        failpoint("content-store:rename");
        await syncDirectory(this.#blobs);
        this.#sizes.set(digest, size);
      },
      abort: async () => await rm(path, { force: true }),
    };
  }

  list(): BlobInfo[] {
    return [...this.#sizes].map(([digest, sizeBytes]) => ({ digest, sizeBytes }));
  }

  async remove(digest: Digest): Promise<void> {
    this.#sizes.delete(digest);
    await rm(this.#path(digest), { force: true });
  }

  #path(digest: Digest): string {
    return join(this.#blobs, digestHex(digest));
  }
}

function matches(bytes: Uint8Array, digest: Digest): boolean {
  return createHash("sha256").update(bytes).digest("hex") === digestHex(digest);
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
