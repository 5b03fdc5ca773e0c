/**
 * Mount options as words (fstab(5), mount(8), config.md of the OCI runtime specification, "Linux mount options"),
 * sorted into what the kernel takes in different places: attributes of the mount, of the whole tree, propagation,
 * and parameters of the filesystem.
 */
import { GantryError } from "../base/errors.ts";
import { MOUNT_ATTR, MS } from "./plan-constants.ts";

export interface MountChange {
  set: bigint;
  clear: bigint;
}

export interface MountOptions {
  /** "bind" or "rbind" was among them. */
  bind: "bind" | "rbind" | undefined;
  own: MountChange;
  /** rro, rnosuid, …: of the mount and all below it. */
  recursive: MountChange;
  /** "remount" was among them: what is mounted there already is changed. */
  remount: boolean;
  /** "tmpcopyup" was among them: a tmpfs begins with what it covers. */
  copyUp: boolean;
  /** MS_*; 0: not given. */
  propagation: bigint;
  /** Id-map the mount, or the whole tree. */
  idMap: "idmap" | "ridmap" | undefined;
  /** What is left, for the filesystem: "size=64k", "newinstance", "sync". */
  parameters: string[];
}

const { RDONLY, NOSUID, NODEV, NOEXEC, NODIRATIME, NOSYMFOLLOW, ATIME, NOATIME, STRICTATIME } = MOUNT_ATTR;
const set = (bits: bigint): MountChange => ({ set: bits, clear: 0n });
const clear = (bits: bigint): MountChange => ({ set: 0n, clear: bits });
const atime = (bits: bigint): MountChange => ({ set: bits, clear: ATIME });

const ATTRIBUTES: Readonly<Record<string, MountChange>> = {
  ro: set(RDONLY),
  rw: clear(RDONLY),
  nosuid: set(NOSUID),
  suid: clear(NOSUID),
  nodev: set(NODEV),
  dev: clear(NODEV),
  noexec: set(NOEXEC),
  exec: clear(NOEXEC),
  nodiratime: set(NODIRATIME),
  diratime: clear(NODIRATIME),
  nosymfollow: set(NOSYMFOLLOW),
  symfollow: clear(NOSYMFOLLOW),
  relatime: atime(0n),
  norelatime: atime(0n),
  atime: atime(0n),
  noatime: atime(NOATIME),
  strictatime: atime(STRICTATIME),
  nostrictatime: atime(0n),
};

const PROPAGATION: Readonly<Record<string, bigint>> = {
  private: MS.PRIVATE,
  slave: MS.SLAVE,
  shared: MS.SHARED,
  unbindable: MS.UNBINDABLE,
};

/** Of the filesystem itself, which a bind mount does not change. The kernel knows them by these words. */
const SUPERBLOCK = new Set(["async", "dirsync", "lazytime", "mand", "nolazytime", "nomand", "sync"]);
/**
 * Say what is so anyway, or have no place in the kernel's calls for mounts: messages of the kernel's, and the version
 * count of inodes, which the filesystems that have one keep always.
 */
const IGNORED = new Set(["defaults", "loud", "silent", "iversion", "noiversion"]);

/** Every word that has a meaning of its own here, sorted; others go to the filesystem. */
export const KNOWN_MOUNT_OPTIONS: readonly string[] = [
  ...Object.keys(ATTRIBUTES).flatMap((word) => [word, `r${word}`]),
  ...Object.keys(PROPAGATION).flatMap((word) => [word, `r${word}`]),
  ...SUPERBLOCK,
  ...IGNORED,
  "remount",
  "bind",
  "rbind",
  "tmpcopyup",
  "idmap",
  "ridmap",
].toSorted();

/** The value of MS_* for rootfsPropagation or a mount's option, "rslave"; undefined for other words. */
export function propagationFlags(word: string): bigint | undefined {
  const plain = PROPAGATION[word];
  if (plain !== undefined) return plain;
  const recursive = word.startsWith("r") ? PROPAGATION[word.slice(1)] : undefined;
  return recursive === undefined ? undefined : recursive | MS.REC;
}

/** The value of MS_* for `rootfsPropagation`; without one, nothing goes back to the host. @throws invalid-argument. */
export function rootPropagation(word: string | undefined): bigint {
  if (word === undefined || word === "") return MS.SLAVE | MS.REC;
  const flags = propagationFlags(word);
  if (flags === undefined)
    throw new GantryError("invalid-argument", `unknown rootfsPropagation ${JSON.stringify(word)}`);
  return flags;
}

/** The same while the root filesystem and volumes are still to be bound: the new root becomes unbindable at the end. */
export function setUpPropagation(word: string | undefined): bigint {
  const flags = rootPropagation(word);
  return flags & MS.UNBINDABLE ? (flags & ~MS.UNBINDABLE) | MS.PRIVATE : flags;
}

/**
 * Checks further options of a bind mount or an image volume, which have no filesystem of their own to give
 * parameters to. What has a field of its own in the request is not an option.
 * @throws invalid-argument, naming the option.
 */
export function checkBindOptions(options: readonly string[], readonly: boolean, what: string): void {
  for (const option of options) {
    const bare = option.startsWith("r") && !Object.hasOwn(ATTRIBUTES, option) ? option.slice(1) : option;
    const writes = bare === "rw" && readonly;
    if (writes || !(Object.hasOwn(ATTRIBUTES, bare) || SUPERBLOCK.has(option) || IGNORED.has(option)))
      throw new GantryError(
        "invalid-argument",
        `${what}: mount option ${JSON.stringify(option)} ${writes ? "contradicts its being read-only" : "is not one of a bind mount"}`,
      );
  }
}

function merge(into: MountChange, change: MountChange): void {
  into.set = (into.set & ~change.clear) | change.set;
  into.clear = (into.clear & ~change.set) | change.clear;
}

/** A later option wins over an earlier one. */
export function parseMountOptions(options: readonly string[]): MountOptions {
  const result: MountOptions = {
    bind: undefined,
    own: { set: 0n, clear: 0n },
    recursive: { set: 0n, clear: 0n },
    propagation: 0n,
    idMap: undefined,
    remount: false,
    copyUp: false,
    parameters: [],
  };
  for (const option of options) {
    const own = ATTRIBUTES[option];
    const recursive = option.startsWith("r") ? ATTRIBUTES[option.slice(1)] : undefined;
    const propagation = propagationFlags(option);
    if (option === "bind" || option === "rbind") result.bind = option;
    else if (option === "idmap" || option === "ridmap") result.idMap = option;
    else if (own) merge(result.own, own);
    else if (recursive) merge(result.recursive, recursive);
    else if (propagation !== undefined) result.propagation = propagation;
    else if (option === "tmpcopyup") result.copyUp = true;
    else if (option === "remount") result.remount = true;
    else if (!IGNORED.has(option)) result.parameters.push(option);
  }
  return result;
}
