/**
 * Groups on v2: one directory, with the controllers enabled in every group above it. Device rules are a program
 * in the kernel (cgroup-device-filter.ts), attached to the directory.
 */
import { join } from "node:path";
import { sleep } from "../base/abort.ts";
import { GantryError } from "../base/errors.ts";
import { failpoint } from "../base/failpoint.ts";
import { deviceFilter } from "./cgroup-device-filter.ts";
import { enableControllers } from "./cgroup-controllers.ts";
import { execDirectory } from "./cgroup-exec.ts";
import type { CgroupFiles } from "./cgroup-files.ts";
import { statField } from "./cgroup-stat-text.ts";
import { killAll, processesIn, removeDirectories, removeEmptyDirectories } from "./cgroup-teardown.ts";
import { v2Writes } from "./cgroup-v2-resources.ts";
import { applyUpdate, applyWrites, makeDirectories, type CgroupWrite } from "./cgroup-write.ts";
import type { Cgroup, CgroupEntries, UndoUpdate } from "./cgroup.ts";
import type { Resources } from "./runtime-spec.ts";

const FREEZE_TIMEOUT_MS = 10_000;
const WANTED_CONTROLLERS = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"];

/** Attaches the device program to the group's directory, replacing the one that is there. */
export type AttachDeviceFilter = (directory: string, program: Uint8Array) => void;

export class V2Cgroup implements Cgroup {
  readonly path: string;
  readonly #files: CgroupFiles;
  readonly #root: string;
  readonly #directory: string;
  readonly #attach: AttachDeviceFilter;

  /** @param path checked by checkCgroupPath. */
  constructor(files: CgroupFiles, root: string, path: string, attach: AttachDeviceFilter) {
    this.#files = files;
    this.#root = root;
    this.#directory = join(root, path);
    this.#attach = attach;
    this.path = path;
  }

  /**
   * Makes the directory and writes the limits; on failure what was made is deleted again.
   * @param options.adopt the group may be there already, with processes: systemd made it for this.
   */
  make(resources: Resources, { adopt = false }: { adopt?: boolean; holder?: number } = {}): void {
    const files = this.#files;
    const made: string[] = [];
    try {
      const isNew = makeDirectories(files, this.#root, this.path, (directory) => made.push(directory));
      failpoint("cgroup-create:directory");
      let above = this.#root;
      for (const part of this.path.split("/").filter(Boolean)) {
        enableControllers(files, above, WANTED_CONTROLLERS);
        above = join(above, part);
      }
      const type = files.read(join(this.#directory, "cgroup.type"))?.trim() ?? "domain";
      if (!type.startsWith("domain") || type === "domain invalid")
        throw new GantryError(
          "failed-precondition",
          `cgroup ${this.path} cannot have processes: it is ${JSON.stringify(type)}, as a group above it is threaded`,
        );
      if (!isNew && !adopt && processesIn(files, this.#directory).length > 0) {
        throw new GantryError("already-exists", `cgroup ${this.path} exists and has processes`);
      }
      applyWrites(files, this.#writes(resources));
      if (resources.devices) this.#attach(this.#directory, deviceFilter(resources.devices));
    } catch (error) {
      for (const directory of made.reverse()) {
        try {
          files.rmdir(directory);
        } catch {
          // Another container has come below it meanwhile, or it has gone.
        }
      }
      throw error;
    }
  }

  entries(): CgroupEntries {
    return { unifiedDirectory: this.#directory, tasksFiles: [] };
  }

  execEntries(initPid: number): CgroupEntries {
    return { unifiedDirectory: execDirectory(this.#files, this.#root, this.path, initPid), tasksFiles: [] };
  }

  memoryDirectory(): string | undefined {
    return this.#directory;
  }

  async update(resources: Resources): Promise<UndoUpdate> {
    this.#mustExist();
    const filter = resources.devices && deviceFilter(resources.devices);
    const undo = await applyUpdate(this.#files, this.#writes(resources));
    try {
      if (filter) this.#attach(this.#directory, filter);
    } catch (error) {
      await undo();
      throw error;
    }
    return undo;
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
    await this.#setFrozen(1);
  }

  async thaw(): Promise<void> {
    await this.#setFrozen(0);
  }

  isFrozen(): boolean {
    return statField(this.#files.read(join(this.#directory, "cgroup.events")) ?? "", "frozen") === 1;
  }

  exists(): boolean {
    return this.#files.read(join(this.#directory, "cgroup.procs")) !== undefined;
  }

  async processes(): Promise<number[]> {
    return processesIn(this.#files, this.#directory);
  }

  async kill(): Promise<void> {
    killAll(this.#files, this.#directory);
  }

  async remove(signal: AbortSignal): Promise<void> {
    await removeDirectories(this.#files, [this.#directory], signal);
  }

  async removeIfEmpty(): Promise<boolean> {
    return removeEmptyDirectories(this.#files, [this.#directory]);
  }

  removeShadow(): Promise<void> {
    return Promise.resolve();
  }

  #writes(resources: Resources): CgroupWrite[] {
    return v2Writes(resources, this.#directory, (path) => this.#files.read(path));
  }

  #mustExist(): void {
    if (!this.exists()) {
      throw new GantryError("not-found", `cgroup ${this.path} does not exist`);
    }
  }

  async #setFrozen(frozen: 0 | 1): Promise<void> {
    this.#mustExist();
    const write = (value: number): void =>
      applyWrites(this.#files, [{ directory: this.#directory, file: "cgroup.freeze", value: String(value) }]);
    write(frozen);
    for (const deadline = Date.now() + FREEZE_TIMEOUT_MS; ; await sleep(2)) {
      if (statField(this.#files.read(join(this.#directory, "cgroup.events")) ?? "", "frozen") === frozen)
        return;
      if (Date.now() > deadline) {
        if (frozen) write(0);
        throw new GantryError(
          "deadline-exceeded",
          `cgroup ${this.path} did not ${frozen ? "freeze" : "thaw"}`,
        );
      }
    }
  }
}
