/**
 * Finds and reads one file in a stack of layers as a container would see it: the topmost layer that has a name wins, a
 * whiteout or an opaque directory hides what is below, and symbolic links are followed within the stack, "/" and ".."
 * being its root. Each layer is only ever asked about a path without links, so the host is never reached.
 */
import { GantryError, errnoCode } from "../base/errors.ts";
import { type FileLookup, lookupFile, readRegularFile } from "../native/files.ts";

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
const S_IFCHR = 0o020000;
/** Symbolic links in one resolution, as Linux has it (path_resolution(7)). */
const MAX_LINKS = 40;
const MAX_COMPONENTS = 4096;
/** Asking the layers for names, in one resolution: an image may have hundreds of layers, and links that lead round. */
const MAX_LOOKUPS = 32_768;

/** A directory of the merged tree: its name in its parent, and the layers that contribute to it, topmost first. */
interface MergedDirectory {
  path: string;
  layers: readonly string[];
}

function isWhiteout(found: FileLookup): boolean {
  return (found.mode & S_IFMT) === S_IFCHR && found.device === 0;
}

/** What the merged tree has at a name of a directory. */
function child(
  parent: MergedDirectory,
  name: string,
): { path: string; layer: string; found: FileLookup; layers: string[] } | undefined {
  const path = parent.path === "" ? name : `${parent.path}/${name}`;
  let top: { layer: string; found: FileLookup } | undefined;
  const layers: string[] = [];
  for (const layer of parent.layers) {
    const found = lookupFile(layer, Buffer.from(path, "latin1"));
    if (!found) continue;
    if (isWhiteout(found)) break;
    const isDirectory = (found.mode & S_IFMT) === S_IFDIR;
    if (top && !isDirectory) break;
    top ??= { layer, found };
    if (!isDirectory) break;
    layers.push(layer);
    if (found.opaque) break;
  }
  return top && { path, ...top, layers };
}

/** Where a path leads in the merged tree. */
type Resolved = { kind: "directory" } | { kind: "other" } | { kind: "file"; layer: string; path: string };

/** Whether a path leads to a directory, a regular file, or something else; undefined where there is nothing. */
export function layeredFileKind(layers: readonly string[], path: string): Resolved["kind"] | undefined {
  return resolve(layers, path)?.kind;
}

/**
 * @param layers absolute paths of the layers' roots, topmost first.
 * @param path within the stack; with or without a leading slash.
 * @returns undefined where there is no such file, or it is not a regular one.
 * @throws resource-exhausted when it is larger than `limitBytes`.
 */
export function readLayeredFile(
  layers: readonly string[],
  path: string,
  limitBytes: number,
): Buffer | undefined {
  const found = resolve(layers, path);
  return found?.kind === "file" ? read(found.layer, found.path, path, limitBytes) : undefined;
}

function resolve(layers: readonly string[], path: string): Resolved | undefined {
  const pending = Buffer.from(path, "utf8").toString("latin1").split("/").reverse();
  const directories: MergedDirectory[] = [];
  let directory: MergedDirectory = { path: "", layers };
  for (let links = 0, steps = 0, lookups = 0; ; steps++) {
    const name = pending.pop();
    if (name === undefined) return { kind: "directory" };
    if (steps > MAX_COMPONENTS) return undefined;
    if (name === "" || name === ".") continue;
    if (name === "..") {
      directory = directories.pop() ?? directory;
      continue;
    }
    lookups += directory.layers.length;
    if (lookups > MAX_LOOKUPS) return undefined;
    const next = child(directory, name);
    if (!next) return undefined;
    const type = next.found.mode & S_IFMT;
    if (type === S_IFLNK) {
      links += 1;
      const target = next.found.target.toString("latin1");
      if (links > MAX_LINKS || target === "") return undefined;
      if (target.startsWith("/")) {
        directory = directories[0] ?? directory;
        directories.length = 0;
      }
      pending.push(...target.split("/").reverse());
    } else if (type === S_IFDIR) {
      directories.push(directory);
      directory = { path: next.path, layers: next.layers };
    } else {
      // A name with something after it, even a slash, would have to be a directory.
      if (pending.length > 0) return undefined;
      return type === S_IFREG ? { kind: "file", layer: next.layer, path: next.path } : { kind: "other" };
    }
  }
}

function read(layer: string, found: string, path: string, limitBytes: number): Buffer | undefined {
  try {
    return readRegularFile(layer, Buffer.from(found, "latin1"), limitBytes);
  } catch (error) {
    if (errnoCode(error) !== "EFBIG") throw error;
    throw new GantryError("resource-exhausted", `${path} in the image is larger than ${limitBytes} bytes`);
  }
}
