/**
 * Deleting what a runtime's container had on the host. A runtime that failed, or was killed, may have left mounts there,
 * of the root filesystem or of volumes, and a recursive deletion would go on through them.
 */
import { realpath, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { errnoCode, GantryError } from "../../base/errors.ts";
import { listMountsBelow } from "../../native/mount.ts";

/** Nothing is no error. @throws failed-precondition where something is mounted on or below it: then nothing is deleted. */
export async function removeUnmounted(path: string): Promise<void> {
  let parent: string;
  try {
    parent = await realpath(dirname(path));
  } catch (error) {
    if (errnoCode(error) === "ENOENT") return;
    throw error;
  }
  const real = join(parent, basename(path));
  const [mounted] = await listMountsBelow(real);
  if (mounted !== undefined)
    throw new GantryError("failed-precondition", `${path} is not deleted: ${mounted} is still mounted`);
  await rm(path, { recursive: true, force: true });
}
