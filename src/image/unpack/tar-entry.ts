/**
 * An entry of a tar archive with everything put together: the header, what extended headers say of it, and GNU long
 * names. Names are byte strings as they stand in the archive, not yet judged.
 */
import { GantryError } from "../../base/errors.ts";
import { type PaxRecords, paxCount, paxTime, paxXattrs } from "./pax-records.ts";
import { parseSparseMap } from "./sparse-map.ts";
import type { SparsePiece, TarHeader } from "./tar-header.ts";

export type TarEntryType = "file" | "hardlink" | "symlink" | "character" | "block" | "directory" | "fifo";

export interface TarEntry {
  name: string;
  linkName: string;
  type: TarEntryType;
  /** Permission bits only. */
  mode: number;
  uid: number;
  gid: number;
  /** Of the file; for a sparse one with its holes. */
  size: number;
  /** Bytes of content in the archive. */
  storedSize: number;
  mtimeSeconds: number;
  mtimeNanoseconds: number;
  atimeSeconds: number;
  atimeNanoseconds: number;
  major: number;
  minor: number;
  xattrs: { name: string; value: string }[];
  /** The pieces of a sparse file; "ahead" when the map stands before the content. */
  sparse: SparsePiece[] | "ahead" | undefined;
}

/** What comes before a header and is about it. */
export interface Extensions {
  global: ReadonlyMap<string, string>;
  local: PaxRecords | undefined;
  longName: string | undefined;
  longLink: string | undefined;
}

const TYPES: Record<string, TarEntryType> = {
  "0": "file",
  "7": "file",
  S: "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "character",
  "4": "block",
  "5": "directory",
  D: "directory",
  "6": "fifo",
};

const NO_VALUES: ReadonlyMap<string, string> = new Map();
const MAX_ID = 0xffff_fffe;

/** An entry's name in an error message: readable, bounded. */
export function displayName(name: string): string {
  const text = Buffer.from(name, "latin1").toString("utf8");
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}

function identifier(value: number, field: string, name: string): number {
  if (value <= MAX_ID) return value;
  throw new GantryError("invalid-argument", `entry ${displayName(name)}: ${field} ${value} is out of range`);
}

function mergeValues({ global, local }: Extensions): ReadonlyMap<string, string> {
  if (global.size === 0) return local?.values ?? NO_VALUES;
  if (!local) return global;
  return new Map([...global, ...local.values]);
}

function sparseOf(header: TarHeader, extensions: Extensions, value: (key: string) => string | undefined) {
  if (header.sparse) return { pieces: header.sparse.pieces, size: header.sparse.realSize };
  const major = value("GNU.sparse.major");
  const realSize = value("GNU.sparse.realsize") ?? value("GNU.sparse.size");
  if (realSize === undefined) return undefined;
  const size = paxCount(realSize, "GNU.sparse.size");
  if (major === "1") return { pieces: "ahead" as const, size };
  const map = value("GNU.sparse.map");
  if (map !== undefined) return { pieces: parseSparseMap(map), size };
  return { pieces: extensions.local?.sparse ?? [], size };
}

/**
 * @throws GantryError invalid-argument for a type that no layer may have (multi-volume, unknown), or a value out of
 *   range.
 */
export function assembleEntry(header: TarHeader, extensions: Extensions): TarEntry {
  const values = mergeValues(extensions);
  const value = (key: string): string | undefined => values.get(key) || undefined;
  const sparse = sparseOf(header, extensions, value);
  const sparseName = sparse && value("GNU.sparse.name");
  const name = sparseName ?? value("path") ?? extensions.longName ?? header.name;
  let type = TYPES[header.type];
  if (!type) {
    throw new GantryError(
      "invalid-argument",
      `entry ${displayName(name)}: unsupported type ${JSON.stringify(header.type)}`,
    );
  }
  if (type === "file" && name.endsWith("/")) type = "directory";
  const count = (key: string, field: number): number => {
    const text = value(key);
    return text === undefined ? field : paxCount(text, key);
  };
  const mtimeText = value("mtime");
  const mtime = mtimeText ? paxTime(mtimeText, "mtime") : { seconds: header.mtimeSeconds, nanoseconds: 0 };
  const atimeText = value("atime");
  const atime = atimeText ? paxTime(atimeText, "atime") : mtime;
  // The other types have no content, whatever their size says; only a dump directory carries a list.
  const storedSize = "07SD".includes(header.type) ? count("size", header.size) : 0;
  const isSparse = sparse !== undefined && type === "file";
  return {
    name,
    linkName: value("linkpath") ?? extensions.longLink ?? header.linkName,
    type,
    mode: header.mode & 0o7777,
    uid: identifier(count("uid", header.uid), "uid", name),
    gid: identifier(count("gid", header.gid), "gid", name),
    size: isSparse ? sparse.size : storedSize,
    storedSize,
    mtimeSeconds: mtime.seconds,
    mtimeNanoseconds: mtime.nanoseconds,
    atimeSeconds: atime.seconds,
    atimeNanoseconds: atime.nanoseconds,
    major: header.major,
    minor: header.minor,
    xattrs: values.size > 0 ? paxXattrs(values) : [],
    sparse: isSparse ? sparse.pieces : undefined,
  };
}
