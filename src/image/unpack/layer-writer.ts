/**
 * Turns the entries of a layer into file operations: judges names, translates whiteouts, keeps the metadata of
 * directories for the end, because making files in a directory changes its times.
 */
import { GantryError } from "../../base/errors.ts";
import {
  FileBatch,
  type FileMetadata,
  FileOperationError,
  FileTree,
  fileOperationKind,
} from "../../native/files.ts";
import { layerPath, whiteoutOf } from "./entry-path.ts";
import { type TarEntry, displayName } from "./tar-entry.ts";
import type { TarSink } from "./tar-reader.ts";

/** Directory metadata kept at once; a layer with more gets its first ones early, with other times perhaps. */
const MAX_PENDING_BYTES = 32 << 20;
const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;
const S_IFIFO = 0o010000;
const NO_DATA = new Uint8Array(0);

/**
 * Attributes that mean something to the host rather than to the image: overlayfs would follow a `redirect`, and labels
 * of security modules are the host's to give.
 */
const REFUSED_XATTRS = ["trusted.overlay.", "security.selinux", "security.SMACK64", "security.apparmor"];

export class LayerWriter implements TarSink {
  readonly #tree: FileTree;
  readonly #whiteouts: "overlay" | "oci";
  readonly #batch = new FileBatch();
  readonly #directories = new FileBatch();
  /** Path of the file whose content comes in pieces; undefined when it is left out. */
  #open: string | undefined;

  /** @param directory absolute path of the empty root of the layer. */
  constructor(directory: string, whiteouts: "overlay" | "oci") {
    this.#tree = new FileTree(directory);
    this.#whiteouts = whiteouts;
  }

  /** Does what the chunk brought. To be called before the chunk is given away. */
  flush(chunk: Uint8Array): void {
    if (this.#batch.length > 0) this.#apply(this.#batch, chunk);
    if (this.#directories.length > MAX_PENDING_BYTES) this.#apply(this.#directories, NO_DATA);
  }

  /** All entries are there: the directories get their owners, modes and times. */
  finish(): void {
    this.flush(NO_DATA);
    if (this.#directories.length > 0) this.#apply(this.#directories, NO_DATA);
    this.close();
  }

  /** Lets go of the directory. Idempotent. */
  close(): void {
    this.#tree.close();
  }

  entry(entry: TarEntry, dataOffset: number): void {
    const path = this.#place(entry);
    if (path === undefined) return;
    const batch = this.#batch;
    switch (entry.type) {
      case "file":
        return batch.wholeFile(path, metadataOf(entry), dataOffset, entry.size);
      case "directory":
        if (path !== "") batch.directory(path);
        return this.#directories.directoryMetadata(path, metadataOf(entry));
      case "symlink":
        if (entry.linkName.length > 4095 || /^$|\0/.test(entry.linkName))
          throw refuse(entry, "bad link target");
        return batch.symlink(path, entry.linkName, metadataOf(entry));
      case "hardlink": {
        const target = layerPath(entry.linkName);
        if (target === "") throw refuse(entry, "hard link to the root");
        return batch.hardlink(path, target);
      }
      case "character":
        return batch.node(path, metadataOf(entry, S_IFCHR), entry.major, entry.minor);
      case "block":
        return batch.node(path, metadataOf(entry, S_IFBLK), entry.major, entry.minor);
      case "fifo":
        return batch.node(path, metadataOf(entry, S_IFIFO), 0, 0);
    }
  }

  fileStart(entry: TarEntry): void {
    this.#open = this.#place(entry);
    if (this.#open !== undefined) this.#batch.file(this.#open);
  }

  fileData(_entry: TarEntry, dataOffset: number, dataLength: number, position: number): void {
    if (this.#open !== undefined) this.#batch.write(this.#open, dataOffset, dataLength, position);
  }

  fileEnd(entry: TarEntry): void {
    if (this.#open !== undefined) this.#batch.close(this.#open, metadataOf(entry), entry.size);
    this.#open = undefined;
  }

  /** Where the entry goes; undefined when it is a whiteout, which is then done with. */
  #place(entry: TarEntry): string | undefined {
    const path = layerPath(entry.name);
    if (path === "" && entry.type !== "directory") throw refuse(entry, "no name");
    const whiteout = whiteoutOf(path);
    if (whiteout.kind === "none") return path;
    if (whiteout.kind === "ignored") return undefined;
    if (this.#whiteouts === "oci") {
      this.#batch.wholeFile(path, { ...metadataOf(entry), mode: 0o600, uid: 0, gid: 0, xattrs: [] }, 0, 0);
    } else if (whiteout.kind === "opaque") {
      this.#batch.opaque(whiteout.directory);
    } else {
      this.#batch.whiteout(whiteout.path);
    }
    return undefined;
  }

  #apply(batch: FileBatch, chunk: Uint8Array): void {
    try {
      this.#tree.apply(batch, chunk);
    } catch (error) {
      if (!(error instanceof FileOperationError)) throw error;
      const kind = fileOperationKind(error) ?? "invalid-argument";
      throw new GantryError(kind, `entry ${displayName(error.path)}: ${error.message}`, { cause: error });
    }
  }
}

function refuse(entry: TarEntry, reason: string): GantryError {
  return new GantryError("invalid-argument", `entry ${displayName(entry.name)}: ${reason}`);
}

function metadataOf(entry: TarEntry, typeBits = 0): FileMetadata {
  return {
    mode: entry.mode | typeBits,
    uid: entry.uid,
    gid: entry.gid,
    mtimeSeconds: entry.mtimeSeconds,
    mtimeNanoseconds: entry.mtimeNanoseconds,
    atimeSeconds: entry.atimeSeconds,
    atimeNanoseconds: entry.atimeNanoseconds,
    xattrs:
      entry.xattrs.length > 0 ? entry.xattrs.filter((xattr) => acceptable(entry, xattr.name)) : entry.xattrs,
  };
}

function acceptable(entry: TarEntry, name: string): boolean {
  if (name === "" || name.includes("\0")) throw refuse(entry, "bad extended attribute name");
  return !REFUSED_XATTRS.some((prefix) => name.startsWith(prefix));
}
