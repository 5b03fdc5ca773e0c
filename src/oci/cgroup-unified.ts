/**
 * Controllers of the v2 hierarchy beside v1. They are enabled for a group when a limit needs them, and disabled again
 * when nothing has such a limit any more: crun refuses a hybrid host on which v2 has a controller enabled.
 *
 * Only what Gantry enabled is disabled. Which that is stands in a note on the directory, which outlives a process and
 * goes with the group. Between processes a lock on the root of the hierarchy keeps apart
 *
 *   shared   enabling a controller and writing its limit
 *   alone    finding that no group has a limit, and disabling
 *
 * and who would disable never waits: the group of whoever holds the lock will be removed later.
 */
import { dirname, join } from "node:path";
import { GantryError } from "../base/errors.ts";
import { controllersBelow, enableable, enableController } from "./cgroup-controllers.ts";
import type { CgroupFiles } from "./cgroup-files.ts";

const LOCK_TIMEOUT_MS = 2000;

/** Roots at which nothing is enabled, so far as this process knows: a removal then costs nothing. */
const idle = new WeakMap<CgroupFiles, Set<string>>();

export class UnifiedControllers {
  readonly #files: CgroupFiles;
  readonly #root: string;
  readonly #path: string;

  /** @param path of the group. */
  constructor(files: CgroupFiles, root: string, path: string) {
    this.#files = files;
    this.#root = root;
    this.#path = path;
  }

  /**
   * Has the controllers in the group, as far as they can be had; what stays off shows when a limit needs it.
   * @returns to be disposed of when the limits are written.
   */
  enable(wanted: readonly string[]): Disposable {
    const lock = this.#lockShared();
    idleRoots(this.#files).delete(this.#root);
    for (const directory of this.#above()) {
      const missing = enableable(this.#files, directory, wanted);
      if (missing.length === 0) continue;
      // Before they are: what is enabled without a note stays so for ever.
      const noted = new Set([...this.#noted(directory), ...missing]);
      this.#files.setNote(directory, [...noted].join(" "));
      for (const controller of missing) enableController(this.#files, directory, controller);
    }
    return lock;
  }

  /** Disables in the groups above what was enabled there, unless some group has a limit. Call it when the group is gone. */
  tidy(): void {
    const roots = idleRoots(this.#files);
    if (roots.has(this.#root)) return;
    if (controllersBelow(this.#files, this.#root).size === 0) {
      roots.add(this.#root);
      return;
    }
    using lock = this.#files.lock(this.#root, false);
    if (!lock) return;
    const above = this.#above();
    for (const controller of new Set(above.flatMap((directory) => [...this.#noted(directory)]))) {
      const top = above.find((directory) => this.#noted(directory).has(controller));
      if (top !== undefined && !this.#isLimited(top, controller)) this.#disable(top, controller);
    }
  }

  /** The groups above this one, from the root down. */
  #above(): string[] {
    const found: string[] = [];
    for (let path = this.#path; path !== "/"; path = dirname(path))
      found.unshift(dirname(join(this.#root, path)));
    return found;
  }

  #noted(directory: string): Set<string> {
    return new Set(this.#files.note(directory).split(" ").filter(Boolean));
  }

  /** Whether a group below has a limit of the controller, or has it enabled by somebody else. */
  #isLimited(directory: string, controller: string): boolean {
    if (!controllersBelow(this.#files, directory).has(controller)) return false;
    return this.#files.children(directory).some((name) => {
      const child = join(directory, name);
      const limits = this.#files
        .names(child)
        .filter((file) => file.startsWith(`${controller}.`) && file.endsWith(".max"));
      if (limits.some((file) => isLimit(this.#files.read(join(child, file)) ?? ""))) return true;
      const foreign =
        controllersBelow(this.#files, child).has(controller) && !this.#noted(child).has(controller);
      return foreign || this.#isLimited(child, controller);
    });
  }

  /** Here and in the groups below; it stays where somebody else has enabled it below meanwhile (EBUSY). */
  #disable(directory: string, controller: string): void {
    const noted = this.#noted(directory);
    if (!noted.delete(controller)) return;
    for (const child of this.#files.children(directory)) this.#disable(join(directory, child), controller);
    try {
      this.#files.write(join(directory, "cgroup.subtree_control"), `-${controller}`);
      this.#files.setNote(directory, [...noted].join(" "));
    } catch {
      // Or the group has been removed.
    }
  }

  #lockShared(): Disposable {
    for (const deadline = Date.now() + LOCK_TIMEOUT_MS; ;) {
      const lock = this.#files.lock(this.#root, true);
      if (lock) return lock;
      if (Date.now() > deadline)
        throw new GantryError("unavailable", `cgroup: ${this.#root} is locked by another process`);
      // The other one is in the middle of some writes of its own.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

/**
 * Whether a file of limits has one: no limit is "max", or in some files of the kernel nearly 2^63. The lines of rdma.max
 * begin with the name of a device ("mlx5_0 hca_handle=max hca_object=max").
 */
function isLimit(text: string): boolean {
  const values = text.replaceAll(/^\S+ (?=\S+=)|\S+=/gm, "").split(/\s+/);
  return values.some((value) => /^\d+$/.test(value) && Number(value) < 2 ** 62);
}

function idleRoots(files: CgroupFiles): Set<string> {
  let roots = idle.get(files);
  if (!roots) idle.set(files, (roots = new Set()));
  return roots;
}
