/**
 * Names of a layer's entries, judged before anything is made of them: relative to the layer's root, without "." and
 * "..", in the range that the kernel takes. Byte strings.
 */
import { GantryError } from "../../base/errors.ts";
import { displayName } from "./tar-entry.ts";

/** PATH_MAX without its NUL. */
const MAX_PATH_BYTES = 4095;
const MAX_NAME_BYTES = 255;

const PLAIN = /^[^/.\0][^/\0]*(?:\/[^/.\0][^/\0]*)*$/;

function refuse(name: string, reason: string): GantryError {
  return new GantryError("invalid-argument", `entry ${displayName(name)}: ${reason}`);
}

/**
 * The path below the root; "" for the root itself. "/etc/x" and "./etc//x" are "etc/x", "a/../b" is "b".
 *
 * @throws GantryError invalid-argument when it leads out of the root, or no file can have it.
 */
export function layerPath(name: string): string {
  if (name.length <= MAX_NAME_BYTES && PLAIN.test(name)) return name;
  if (name.includes("\0")) throw refuse(name, "name holds a NUL");
  const parts: string[] = [];
  for (const part of name.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") {
      if (parts.pop() === undefined) throw refuse(name, "name leads out of the layer");
    } else if (part.length > MAX_NAME_BYTES) {
      throw refuse(name, "name is too long");
    } else {
      parts.push(part);
    }
  }
  const path = parts.join("/");
  if (path.length > MAX_PATH_BYTES) throw refuse(name, "name is too long");
  return path;
}

const WHITEOUT_PREFIX = ".wh.";
const METADATA_PREFIX = ".wh..wh.";
const OPAQUE_NAME = ".wh..wh..opq";

/** What a name means for the layers below (OCI image specification, layer.md, "Whiteouts"). */
export type Whiteout =
  | { kind: "none" }
  /** Hides that path below. */
  | { kind: "file"; path: string }
  /** Hides what that directory holds below. */
  | { kind: "opaque"; directory: string }
  /** Left over by AUFS, of no meaning. */
  | { kind: "ignored" };

const NONE: Whiteout = { kind: "none" };

/** @throws GantryError invalid-argument for a whiteout of "", "." or "..". */
export function whiteoutOf(path: string): Whiteout {
  const slash = path.lastIndexOf("/");
  if (!path.startsWith(WHITEOUT_PREFIX, slash + 1)) return NONE;
  const base = path.slice(slash + 1);
  if (base === OPAQUE_NAME) return { kind: "opaque", directory: slash < 0 ? "" : path.slice(0, slash) };
  if (base.startsWith(METADATA_PREFIX)) return { kind: "ignored" };
  const hidden = base.slice(WHITEOUT_PREFIX.length);
  if (hidden === "" || hidden === "." || hidden === "..") throw refuse(path, "whiteout of no name");
  return { kind: "file", path: path.slice(0, slash + 1) + hidden };
}
