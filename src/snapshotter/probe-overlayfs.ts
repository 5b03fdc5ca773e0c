/**
 * Whether a directory's filesystem can hold overlayfs snapshots, found out without mounting anything: overlayfs has to be
 * in the kernel, the filesystem has to take its extended attributes and whiteouts, tell the types of directory entries,
 * and not be an overlay itself.
 */
import { mkdirSync, mkdtempSync, opendirSync, readFileSync, rmSync, statfsSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { errorMessage } from "../base/errors.ts";
import { FileBatch, FileTree, lookupFile } from "../native/files.ts";

/** statfs(2). */
const FILESYSTEMS_THAT_CANNOT: Record<number, string> = {
  0x794c7630: "overlayfs",
  0x6969: "nfs",
  0x65735546: "fuse",
  0xf15f: "ecryptfs",
  0x61756673: "aufs",
};

/**
 * @param directory an existing directory that may be written to.
 * @returns why it cannot, for the log; undefined when it can.
 */
export function probeOverlayfs(directory: string): string | undefined {
  const filesystem = FILESYSTEMS_THAT_CANNOT[statfsSync(directory).type];
  if (filesystem) return `${directory} is on ${filesystem}`;
  if (!kernelHasOverlayfs()) return "overlayfs is not in the kernel";
  let probe: string | undefined;
  try {
    probe = mkdtempSync(join(directory, "probe-"));
    const tree = new FileTree(probe);
    try {
      const batch = new FileBatch();
      batch.whiteout("whiteout");
      batch.opaque("opaque");
      tree.apply(batch, Buffer.alloc(0));
    } finally {
      tree.close();
    }
    if (!lookupFile(probe, Buffer.from("opaque"))?.opaque)
      return `${directory}: extended attributes are lost`;
    return entryTypesAreKnown(probe) ? undefined : `${directory}: directory entries have no type (d_type)`;
  } catch (error) {
    return `${directory}: ${errorMessage(error)}`;
  } finally {
    if (probe !== undefined) rmSync(probe, { recursive: true, force: true });
  }
}

/** Present, or a module that the first mount loads. */
function kernelHasOverlayfs(): boolean {
  if (/\boverlay$/m.test(readFileSync("/proc/filesystems", "utf8"))) return true;
  try {
    return readFileSync(`/lib/modules/${release()}/modules.dep`, "utf8").includes("/overlay.ko");
  } catch {
    return false;
  }
}

function entryTypesAreKnown(probe: string): boolean {
  mkdirSync(join(probe, "directory"));
  const handle = opendirSync(probe);
  try {
    for (let entry = handle.readSync(); entry; entry = handle.readSync()) {
      if (entry.name === "directory" && !entry.isDirectory()) return false;
    }
    return true;
  } finally {
    handle.closeSync();
  }
}
