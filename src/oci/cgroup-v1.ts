/**
 * Groups on v1 and on the hybrid layout: one directory in each hierarchy. On a hybrid host the group exists in
 * the v2 hierarchy too, where processes are listed and killed at once.
 */
import { dirname, join } from "node:path";
import { sleep } from "../base/abort.ts";
import { GantryError } from "../base/errors.ts";
import { failpoint } from "../base/failpoint.ts";
import { execDirectory } from "./cgroup-exec.ts";
import type { CgroupFiles } from "./cgroup-files.ts";
import type { Hierarchies } from "./cgroup-hierarchies.ts";
import { killAll, processesIn, removeDirectories, removeEmptyDirectories } from "./cgroup-teardown.ts";
import { UnifiedControllers } from "./cgroup-unified.ts";
import { v1Writes } from "./cgroup-v1-resources.ts";
import { applyUpdate, applyWrites, makeDirectories, type CgroupWrite } from "./cgroup-write.ts";
import type { Cgroup, CgroupEntries, UndoUpdate } from "./cgroup.ts";
import type { Resources } from "./runtime-spec.ts";

const FREEZE_TIMEOUT_MS = 10_000;

export class V1Cgroup implements Cgroup {
  readonly path: string;
  readonly #files: CgroupFiles;
  readonly #hierarchies: Hierarchies;

  /** @param path checked by checkCgroupPath. */
  constructor(files: CgroupFiles, hierarchies: Hierarchies, path: string) {
    this.#files = files;
    this.#hierarchies = hierarchies;
    this.path = path;
  }

  /**
   * Makes the directories and writes the limits; on failure what was made is deleted again.
   * @param options.adopt the group may be there already, with processes: systemd made it for this.
   * @param options.holder put into all hierarchies: systemd tidies up those that it does not need for the unit.
   */
  make(resources: Resources, { adopt = false, holder }: { adopt?: boolean; holder?: number } = {}): void {
    const files = this.#files;
    const made: string[] = [];
    try {
      let isNew = true;
      for (const root of this.#roots()) {
        const ownMade = makeDirectories(files, root, this.path, (directory) => made.push(directory));
        isNew &&= ownMade;
        if (root !== this.#hierarchies.v1.get("cpuset")) continue;
        failpoint("cgroup-create:directory");
        // Also of directories that were there: whoever made them may have died before it came to this.
        inheritCpuset(files, join(root, this.path), root);
      }
      using limiting = this.#enableUnified(resources);
      void limiting;
      if (holder !== undefined)
        for (const file of this.entries().tasksFiles) files.write(file, String(holder));
      if (!isNew && !adopt && processesIn(files, this.#listing()).length > 0) {
        throw new GantryError("already-exists", `cgroup ${this.path} exists and has processes`);
      }
      applyWrites(files, this.#writes(resources));
    } catch (error) {
      for (const directory of made.reverse()) {
        try {
          files.rmdir(directory);
        } catch {
          // Another container has come below it meanwhile, or it has gone.
        }
      }
      this.#tidyUnified();
      throw error;
    }
  }

  entries(): CgroupEntries {
    const tasksFiles = this.#hierarchies.v1Roots.map((root) => join(root, this.path, "tasks"));
    const { unified } = this.#hierarchies;
    return unified ? { unifiedDirectory: join(unified, this.path), tasksFiles } : { tasksFiles };
  }

  execEntries(initPid: number): CgroupEntries {
    const entries = this.entries();
    const { unified } = this.#hierarchies;
    if (unified !== undefined)
      entries.unifiedDirectory = execDirectory(this.#files, unified, this.path, initPid);
    return entries;
  }

  memoryDirectory(): string | undefined {
    return this.#directory("memory");
  }

  async update(resources: Resources): Promise<UndoUpdate> {
    this.#mustExist();
    using limiting = this.#enableUnified(resources);
    void limiting;
    return await applyUpdate(this.#files, this.#writes(resources));
  }

  entered(): Promise<void> {
    return Promise.resolve();
  }

  hold(): Promise<void> {
    return Promise.resolve();
  }

  check(resources: Resources): void {
    this.#writes(resources);
  }

  async freeze(): Promise<void> {
    await this.#setFreezer("FROZEN");
  }

  async thaw(): Promise<void> {
    await this.#setFreezer("THAWED");
  }

  isFrozen(): boolean {
    const directory = this.#directory("freezer");
    return directory !== undefined && this.#files.read(join(directory, "freezer.state"))?.trim() === "FROZEN";
  }

  exists(): boolean {
    return this.#roots().some(
      (root) => this.#files.read(join(root, this.path, "cgroup.procs")) !== undefined,
    );
  }

  async processes(): Promise<number[]> {
    return processesIn(this.#files, this.#listing());
  }

  async kill(): Promise<void> {
    this.#letDie();
    killAll(this.#files, this.#listing());
  }

  async remove(signal: AbortSignal): Promise<void> {
    const directories = this.#roots().map((root) => join(root, this.path));
    await removeDirectories(this.#files, directories, signal, () => this.#letDie());
    this.#tidyUnified();
  }

  async removeIfEmpty(): Promise<boolean> {
    const directories = this.#roots().map((root) => join(root, this.path));
    const gone = removeEmptyDirectories(this.#files, directories);
    if (gone) this.#tidyUnified();
    return gone;
  }

  async removeShadow(): Promise<void> {
    const { unified } = this.#hierarchies;
    if (unified === undefined) return;
    for (let path = this.path; path !== "/"; path = dirname(path))
      if (!removeEmptyDirectories(this.#files, [join(unified, path)])) break;
    this.#tidyUnified();
  }

  /** A process frozen by v1's freezer takes no SIGKILL. */
  #letDie(): void {
    const directory = this.#directory("freezer");
    const state = directory && this.#files.read(join(directory, "freezer.state"));
    if (directory && state && state.trim() !== "THAWED") {
      applyWrites(this.#files, [{ directory, file: "freezer.state", value: "THAWED" }]);
    }
  }

  #roots(): string[] {
    const { v1Roots, unified } = this.#hierarchies;
    return unified ? [unified, ...v1Roots] : [...v1Roots];
  }

  #directory(controller: string): string | undefined {
    const root = this.#hierarchies.v1.get(controller);
    return root && join(root, this.path);
  }

  /** Where the group's processes are listed: all of them are in every hierarchy. */
  #listing(): string {
    return join(this.#hierarchies.unified ?? (this.#hierarchies.v1Roots[0] as string), this.path);
  }

  /** The directory in the v2 hierarchy, for a controller that is there. */
  #unifiedDirectory(controller: string): string | undefined {
    const { unified, unifiedControllers } = this.#hierarchies;
    return unified !== undefined && unifiedControllers.has(controller) ? join(unified, this.path) : undefined;
  }

  /** Has the controllers of the v2 hierarchy in the group, if the limits need them: few containers use huge pages. */
  #enableUnified({ hugepageLimits, rdma }: Resources): Disposable | undefined {
    const wanted = [...(hugepageLimits?.length ? ["hugetlb"] : []), ...(rdma ? ["rdma"] : [])];
    if (wanted.every((controller) => this.#unifiedDirectory(controller) === undefined)) return undefined;
    return this.#unified()?.enable(wanted);
  }

  #tidyUnified(): void {
    if (this.#hierarchies.unifiedControllers.size > 0) this.#unified()?.tidy();
  }

  #unified(): UnifiedControllers | undefined {
    const { unified } = this.#hierarchies;
    return unified === undefined ? undefined : new UnifiedControllers(this.#files, unified, this.path);
  }

  #writes(resources: Resources): CgroupWrite[] {
    return v1Writes(resources, {
      directory: (controller) => this.#directory(controller),
      unifiedDirectory: (controller) => this.#unifiedDirectory(controller),
      read: (path) => this.#files.read(path),
    });
  }

  #mustExist(): void {
    if (this.#files.read(join(this.#listing(), "cgroup.procs")) === undefined) {
      throw new GantryError("not-found", `cgroup ${this.path} does not exist`);
    }
  }

  async #setFreezer(state: "FROZEN" | "THAWED"): Promise<void> {
    const directory = this.#directory("freezer");
    if (!directory)
      throw new GantryError("failed-precondition", "cgroup: this host has no freezer controller");
    this.#mustExist();
    const file = join(directory, "freezer.state");
    for (const deadline = Date.now() + FREEZE_TIMEOUT_MS; ; await sleep(2)) {
      // FREEZING may need to be asked for again while the group forks.
      applyWrites(this.#files, [{ directory, file: "freezer.state", value: state }]);
      if (this.#files.read(file)?.trim() === state) return;
      if (Date.now() > deadline) {
        if (state === "FROZEN")
          applyWrites(this.#files, [{ directory, file: "freezer.state", value: "THAWED" }]);
        throw new GantryError("deadline-exceeded", `cgroup ${this.path} did not become ${state}`);
      }
    }
  }
}

/** A new cpuset has no processors and no memory nodes, and takes no process before it, and each above it, got its parent's. */
function inheritCpuset(files: CgroupFiles, directory: string, root: string): void {
  if (directory === root) return;
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    if (files.read(join(directory, file))?.trim() !== "") continue;
    const parent = join(directory, "..");
    if (parent !== root && files.read(join(parent, file))?.trim() === "") inheritCpuset(files, parent, root);
    const value = files.read(join(parent, file))?.trim();
    if (value) applyWrites(files, [{ directory, file, value }]);
  }
}
