/**
 * The addon's part "files": creating files in batches below one directory, and what the snapshotters do to whole
 * trees. Paths of a batch are byte strings (one character for each byte, as "latin1" decodes them), because names in
 * a layer need not be UTF-8; they are relative, normalised, and without "..".
 */
import { type ErrorKind, errnoCode, wrapError } from "../base/errors.ts";
import { addon } from "./addon.ts";
import { FIELD_OFFSETS, FILE_OPERATIONS, FLAG_CLOSE } from "./files-format.ts";

const native = addon as {
  filesTreeOpen(directory: string): unknown;
  filesTreeApply(
    tree: unknown,
    operations: Uint8Array,
    length: number,
    data: Uint8Array,
  ): (Error & { code: string; syscall: string; operation: number }) | undefined;
  filesTreeClose(tree: unknown): void;
  filesUsage(directory: string): Promise<{ bytes: number; inodes: number }>;
  filesRemove(path: string): Promise<unknown>;
  filesCopy(source: string, destination: string, scratch: string, whiteouts: boolean): Promise<unknown>;
  filesSync(directory: string): Promise<unknown>;
  filesLookup(root: string, path: Uint8Array): FileLookup | undefined;
  filesRead(root: string, path: Uint8Array, limitBytes: number): Buffer | undefined;
};

/** What a file in a layer has besides its content. */
export interface FileMetadata {
  /** Permission bits with setuid, setgid and sticky; for a node also the type bits. */
  mode: number;
  uid: number;
  gid: number;
  /** Whole seconds, may be negative, and nanoseconds to be added. */
  mtimeSeconds: number;
  mtimeNanoseconds: number;
  atimeSeconds: number;
  atimeNanoseconds: number;
  /** Names and values as byte strings. */
  xattrs: readonly { name: string; value: string }[];
}

/** A system call of a batch that failed. */
export class FileOperationError extends Error {
  readonly code: string;
  readonly syscall: string;
  /** The path of the operation, a byte string. */
  readonly path: string;

  constructor(code: string, syscall: string, path: string) {
    super(`${syscall}: ${code}`);
    this.name = "FileOperationError";
    this.code = code;
    this.syscall = syscall;
    this.path = path;
  }
}

const KINDS: Record<string, ErrorKind> = {
  ENOSPC: "resource-exhausted",
  EDQUOT: "resource-exhausted",
  ENOMEM: "resource-exhausted",
  EMFILE: "resource-exhausted",
  ENFILE: "resource-exhausted",
  EROFS: "failed-precondition",
  EACCES: "permission-denied",
  EIO: "unavailable",
};

/** The kind of a failed system call on a file where the machine is to blame; undefined for the others. */
export function errnoKind(code: string): ErrorKind | undefined {
  return KINDS[code];
}

/** The kind of a failed operation where the archive is not to blame; undefined where it is. */
export function fileOperationKind(error: FileOperationError): ErrorKind | undefined {
  if (error.code === "EPERM") return error.syscall === "linkat" ? undefined : "permission-denied";
  return errnoKind(error.code);
}

const AT = FIELD_OFFSETS as Readonly<
  Record<
    | "length"
    | "operation"
    | "flags"
    | "mode"
    | "uid"
    | "gid"
    | "mtime_ns"
    | "mtime"
    | "atime"
    | "atime_ns"
    | "major"
    | "minor"
    | "data_offset"
    | "data_length"
    | "path_length"
    | "link_length"
    | "xattrs_length"
    | "xattrs_count"
    | "offset"
    | "size"
    | "end",
    number
  >
>;

function writeInt64(buffer: Buffer, value: number, at: number): void {
  const high = Math.floor(value / 2 ** 32);
  buffer.writeUInt32LE(value - high * 2 ** 32, at);
  buffer.writeInt32LE(high, at + 4);
}

/** Operations for `FileTree.apply`, in order. The same batch is used again and again. */
export class FileBatch {
  #buffer = Buffer.alloc(64 * 1024);
  #length = 0;

  /** Bytes of the operations so far. */
  get length(): number {
    return this.#length;
  }

  get bytes(): Uint8Array {
    return this.#buffer;
  }

  clear(): void {
    this.#length = 0;
  }

  /** Makes the directory, mode 0700 for now, with its parents, or keeps the one that is there. */
  directory(path: string): void {
    this.#start(FILE_OPERATIONS.directory, path);
  }

  /** Makes an empty regular file and leaves it open for `write`. */
  file(path: string): void {
    this.#start(FILE_OPERATIONS.file, path);
  }

  /** Makes a regular file with all its content, that part of the data. */
  wholeFile(path: string, metadata: FileMetadata, dataOffset: number, dataLength: number): void {
    const at = this.#start(FILE_OPERATIONS.file, path, "", metadata);
    this.#buffer.writeUInt16LE(FLAG_CLOSE, at + AT.flags);
    this.#content(at, dataOffset, dataLength, 0);
    writeInt64(this.#buffer, dataLength, at + AT.size);
  }

  /** Writes part of the data at that position of the open file. The path is for errors. */
  write(path: string, dataOffset: number, dataLength: number, position: number): void {
    this.#content(this.#start(FILE_OPERATIONS.write, path), dataOffset, dataLength, position);
  }

  /** The open file is complete and gets this size. */
  close(path: string, metadata: FileMetadata, size: number): void {
    const at = this.#start(FILE_OPERATIONS.write, path, "", metadata);
    this.#buffer.writeUInt16LE(FLAG_CLOSE, at + AT.flags);
    writeInt64(this.#buffer, size, at + AT.size);
  }

  symlink(path: string, target: string, metadata: FileMetadata): void {
    this.#start(FILE_OPERATIONS.symlink, path, target, metadata);
  }

  /** @param target a path in the tree, like `path`. */
  hardlink(path: string, target: string): void {
    this.#start(FILE_OPERATIONS.hardlink, path, target);
  }

  /** A device or fifo. */
  node(path: string, metadata: FileMetadata, major: number, minor: number): void {
    const at = this.#start(FILE_OPERATIONS.node, path, "", metadata);
    this.#buffer.writeUInt32LE(major, at + AT.major);
    this.#buffer.writeUInt32LE(minor, at + AT.minor);
  }

  whiteout(path: string): void {
    this.#start(FILE_OPERATIONS.whiteout, path);
  }

  opaque(path: string): void {
    this.#start(FILE_OPERATIONS.opaque, path);
  }

  /** For the end: making files in a directory changes its times. */
  directoryMetadata(path: string, metadata: FileMetadata): void {
    this.#start(FILE_OPERATIONS.directory_metadata, path, "", metadata);
  }

  /** Path of the operation with this index. */
  pathOf(index: number): string {
    let at = 0;
    for (let i = 0; i < index; i++) at += this.#buffer.readUInt32LE(at + AT.length);
    const start = at + AT.end;
    return this.#buffer.toString("latin1", start, start + this.#buffer.readUInt16LE(at + AT.path_length));
  }

  #start(operation: number, path: string, link = "", metadata?: FileMetadata): number {
    const at = this.#length;
    let xattrsLength = 0;
    for (const { name, value } of metadata?.xattrs ?? []) xattrsLength += 9 + name.length + value.length;
    const length = (AT.end + path.length + link.length + 2 + xattrsLength + 7) & ~7;
    this.#reserve(at + length);
    const buffer = this.#buffer;
    buffer.fill(0, at, at + length);
    buffer.writeUInt32LE(length, at + AT.length);
    buffer.writeUInt16LE(operation, at + AT.operation);
    buffer.writeUInt16LE(path.length, at + AT.path_length);
    buffer.writeUInt16LE(link.length, at + AT.link_length);
    buffer.write(path, at + AT.end, "latin1");
    if (link) buffer.write(link, at + AT.end + path.length + 1, "latin1");
    if (metadata) this.#metadata(at, metadata, at + AT.end + path.length + link.length + 2, xattrsLength);
    this.#length = at + length;
    return at;
  }

  #metadata(at: number, metadata: FileMetadata, xattrsAt: number, xattrsLength: number): void {
    const buffer = this.#buffer;
    buffer.writeUInt32LE(metadata.mode, at + AT.mode);
    buffer.writeUInt32LE(metadata.uid, at + AT.uid);
    buffer.writeUInt32LE(metadata.gid, at + AT.gid);
    writeInt64(buffer, metadata.mtimeSeconds, at + AT.mtime);
    buffer.writeUInt32LE(metadata.mtimeNanoseconds, at + AT.mtime_ns);
    writeInt64(buffer, metadata.atimeSeconds, at + AT.atime);
    buffer.writeUInt32LE(metadata.atimeNanoseconds, at + AT.atime_ns);
    buffer.writeUInt32LE(xattrsLength, at + AT.xattrs_length);
    buffer.writeUInt32LE(metadata.xattrs.length, at + AT.xattrs_count);
    let position = xattrsAt;
    for (const { name, value } of metadata.xattrs) {
      buffer.writeUInt32LE(name.length, position);
      buffer.writeUInt32LE(value.length, position + 4);
      buffer.write(name, position + 8, "latin1");
      buffer.write(value, position + 9 + name.length, "latin1");
      position += 9 + name.length + value.length;
    }
  }

  #content(at: number, dataOffset: number, dataLength: number, position: number): void {
    this.#buffer.writeUInt32LE(dataOffset, at + AT.data_offset);
    this.#buffer.writeUInt32LE(dataLength, at + AT.data_length);
    writeInt64(this.#buffer, position, at + AT.offset);
  }

  #reserve(length: number): void {
    if (length <= this.#buffer.length) return;
    const larger = Buffer.alloc(Math.max(length, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }
}

/** A directory that batches are applied to; no name or link in it leads out of it. */
export class FileTree {
  #tree: unknown;

  /** @throws Error with `code` when the directory cannot be opened. */
  constructor(directory: string) {
    this.#tree = native.filesTreeOpen(directory);
  }

  /**
   * Executes the batch, synchronously, and clears it. A file left open stays so for the next batch.
   *
   * @param data what `wholeFile` and `write` refer to.
   * @throws FileOperationError; what came before the failing operation is done.
   */
  apply(batch: FileBatch, data: Uint8Array): void {
    const error = native.filesTreeApply(this.#tree, batch.bytes, batch.length, data);
    if (error) throw new FileOperationError(error.code, error.syscall, batch.pathOf(error.operation));
    batch.clear();
  }

  close(): void {
    if (this.#tree !== undefined) native.filesTreeClose(this.#tree);
    this.#tree = undefined;
  }
}

/** Disk usage of a tree: blocks × 512, a hard link counted once. Off the main thread, like the three below. */
export async function directoryUsage(directory: string): Promise<{ bytes: number; inodes: number }> {
  return native.filesUsage(directory);
}

/** Deletes a file or a tree, of any depth, following no link. No error where there is none. */
export async function removeTree(path: string): Promise<void> {
  await native.filesRemove(path);
}

/**
 * Copies the content and the metadata of a directory into an existing one: owners, modes, times, extended attributes,
 * holes, devices and hard links. What is there already is kept, or replaced by a file of the same name.
 *
 * @param scratch an empty directory on the filesystem of the destination; it is filled, and for the caller to delete.
 * @param whiteouts whether `.wh.` files of the source delete from the destination instead of being copied.
 */
export async function copyTree(
  source: string,
  destination: string,
  scratch: string,
  whiteouts: boolean,
): Promise<void> {
  try {
    await native.filesCopy(source, destination, scratch, whiteouts);
  } catch (error) {
    throw wrapError("copy", error, errnoKind(errnoCode(error) ?? "") ?? "internal");
  }
}

/** syncfs(2) of the filesystem that holds the directory. */
export async function syncFilesystem(directory: string): Promise<void> {
  await native.filesSync(directory);
}

export interface FileLookup {
  /** st_mode. */
  mode: number;
  uid: number;
  gid: number;
  /** st_rdev; 0 of a character device is an overlayfs whiteout. */
  device: number;
  /** The directory is opaque for overlayfs. */
  opaque: boolean;
  /** Of a symbolic link, as bytes. */
  target: Buffer;
}

/**
 * What stands at the path below a directory, no link followed on the way or at the end.
 *
 * @param path relative, as bytes; empty for the directory itself.
 */
export function lookupFile(root: string, path: Uint8Array): FileLookup | undefined {
  return native.filesLookup(root, path);
}

/**
 * The content of a regular file, found like lookupFile does. Undefined for anything else.
 *
 * @throws Error with code EFBIG when it is larger than the limit.
 */
export function readRegularFile(root: string, path: Uint8Array, limitBytes: number): Buffer | undefined {
  return native.filesRead(root, path, limitBytes);
}
