/**
 * Groups through the systemd driver: a container is a transient scope, a pod a slice. systemd makes the unit and its
 * group and is told the limits; the rest is done in the files of the group as with the cgroupfs driver, which the unit
 * is delegated for.
 *
 *   holder spawned ─▶ scope started with it ─▶ files written ─▶ (container cloned into the group) ─▶ holder gone
 *
 * A scope needs a process and ends with its last one. The container's first process cannot be it: it is to be born in
 * the group, with its limits. So a process that only waits, the holder, is put in until then. It ends with the process
 * that started it, so that what a crash leaves is an empty scope, which systemd collects.
 */
import { closeSync } from "node:fs";
import { sleep } from "../base/abort.ts";
import { CleanupStack } from "../base/cleanup.ts";
import { errorKind, GantryError } from "../base/errors.ts";
import { shimProgram } from "../native/addon.ts";
import { processAddon } from "../native/process.ts";
import type { V1Cgroup } from "./cgroup-v1.ts";
import type { V2Cgroup } from "./cgroup-v2.ts";
import type { Cgroup, CgroupEntries, UndoUpdate } from "./cgroup.ts";
import type { Resources } from "./runtime-spec.ts";
import type { UnitGroup } from "./systemd-names.ts";
import { resourceProperties } from "./systemd-properties.ts";
import type { SystemdUnits, UnitProperty } from "./systemd-units.ts";

/** How long the end of a unit whose group is empty is waited for: systemd forgets such a one by itself. */
const COLLECT_TIMEOUT_MS = 5_000;
const HOLDER_TIMEOUT_MS = 5_000;

export interface Holder {
  pid: number;
  /** What holds from the moment that it is gone. */
  afterwards?: Resources;
  /** Ends it; resolves when it is gone. */
  end(): Promise<void>;
}

/** What the groups of one manager share. */
export interface SystemdDriver {
  version: "v1" | "v2";
  units: SystemdUnits;
  /** By unit: the processes that keep scopes for this process. */
  holders: Map<string, Holder>;
  /** @param entries of the group that it is put in at once. */
  spawnHolder(entries?: CgroupEntries): Holder;
}

/** A process that waits until this one ends it, or ends itself. */
export function spawnHolder(entries?: CgroupEntries): Holder {
  const { pid, fd } = processAddon.spawnShim(
    shimProgram,
    ["hold"],
    entries?.unifiedDirectory ?? "",
    entries?.tasksFiles ?? [],
  );
  const startTime = processAddon.processStartTime(pid);
  return {
    pid,
    async end() {
      closeSync(fd);
      processAddon.killProcess(pid, startTime, 9);
      for (const deadline = Date.now() + HOLDER_TIMEOUT_MS; ; await sleep(1)) {
        if (processAddon.processStartTime(pid) !== startTime) return;
        if (Date.now() > deadline)
          throw new GantryError("deadline-exceeded", `process ${pid}, which held a scope, does not end`);
      }
    },
  };
}

export class SystemdCgroup implements Cgroup {
  readonly path: string;
  readonly #driver: SystemdDriver;
  readonly #group: UnitGroup;
  /** The same group by its files. */
  readonly #files: V1Cgroup | V2Cgroup;
  readonly #isSlice: boolean;

  /** @param path in systemd's syntax, that `group` was read from. */
  constructor(driver: SystemdDriver, path: string, group: UnitGroup, files: V1Cgroup | V2Cgroup) {
    this.path = path;
    this.#driver = driver;
    this.#group = group;
    this.#files = files;
    this.#isSlice = group.unit.endsWith(".slice");
  }

  /** Starts the unit and writes the limits; on failure nothing is left. */
  async make(resources: Resources): Promise<void> {
    this.check(resources);
    const { driver, unit } = { driver: this.#driver, unit: this.#group.unit };
    const systemdVersion = needsVersion(resources) ? await driver.units.version() : 0;
    // A holder beside the first process must not be one too many for the moment that both are there.
    const tight = !this.#isSlice && resources.pids?.limit === 1 ? { pids: resources.pids } : undefined;
    const asked = tight ? { ...resources, pids: { limit: 2 } } : resources;
    await using undo = new CleanupStack(() => undefined);
    const properties: UnitProperty[] = [
      ["Description", ["s", `Gantry ${this.#isSlice ? "pod" : "container"} ${unit}`]],
      ["DefaultDependencies", ["b", false]],
      ...ACCOUNTING(driver.version),
      ["TasksMax", ["t", "18446744073709551615"]],
      ...resourceProperties(asked, driver.version, systemdVersion),
    ];
    if (!this.#isSlice) {
      const holder: Holder = { ...driver.spawnHolder(), ...(tight && { afterwards: tight }) };
      undo.push("end the holder", () => holder.end());
      properties.push(
        ["Slice", ["s", this.#group.slice]],
        ["Delegate", ["b", true]],
        ["CollectMode", ["s", "inactive-or-failed"]],
        ["PIDs", ["au", [holder.pid]]],
      );
      await this.#start(properties, holder);
      driver.holders.set(unit, holder);
      undo.push("forget the holder", () => void driver.holders.delete(unit));
    } else {
      await this.#start(properties);
    }
    undo.push("stop the unit", () => driver.units.stop(unit, COLLECT_TIMEOUT_MS));
    undo.push("remove the group", () => this.#files.remove(AbortSignal.timeout(COLLECT_TIMEOUT_MS)));
    const holder = driver.holders.get(unit)?.pid;
    this.#files.make(asked, { adopt: true, ...(holder !== undefined && { holder }) });
    undo.disarm();
  }

  async entered(): Promise<void> {
    const holder = this.#driver.holders.get(this.#group.unit);
    if (!holder) return;
    this.#driver.holders.delete(this.#group.unit);
    await holder.end();
    if (!holder.afterwards) return;
    try {
      await this.update(holder.afterwards);
    } catch (error) {
      // A first process that has ended by now has taken the unit with it: nothing is left to limit.
      if ((await this.processes()).length > 0) throw error;
    }
  }

  hold(): Promise<void> {
    const { holders } = this.#driver;
    if (!this.#isSlice && !holders.has(this.#group.unit))
      holders.set(this.#group.unit, this.#driver.spawnHolder(this.entries()));
    return Promise.resolve();
  }

  entries(): CgroupEntries {
    return this.#files.entries();
  }

  execEntries(initPid: number): CgroupEntries {
    return this.#files.execEntries(initPid);
  }

  memoryDirectory(): string | undefined {
    return this.#files.memoryDirectory();
  }

  async update(resources: Resources): Promise<UndoUpdate> {
    const { units, version } = this.#driver;
    const { unit } = this.#group;
    const systemdVersion = needsVersion(resources) ? await units.version() : 0;
    const properties = resourceProperties(resources, version, systemdVersion);
    const names = [...new Set(properties.map(([name]) => name))];
    const old = await units.read(unit, names);
    const undoFiles = await this.#files.update(resources);
    const undo = async (): Promise<void> => {
      await units.change(unit, restoring(old));
      await undoFiles();
    };
    try {
      await units.change(unit, properties);
      return undo;
    } catch (error) {
      await undoFiles();
      throw error;
    }
  }

  check(resources: Resources): void {
    this.#files.check(resources);
  }

  freeze(): Promise<void> {
    return this.#files.freeze();
  }

  thaw(): Promise<void> {
    return this.#files.thaw();
  }

  isFrozen(): boolean {
    return this.#files.isFrozen();
  }

  exists(): boolean {
    return this.#files.exists();
  }

  async processes(): Promise<number[]> {
    const holder = this.#driver.holders.get(this.#group.unit)?.pid;
    return (await this.#files.processes()).filter((pid) => pid !== holder);
  }

  kill(): Promise<void> {
    return this.#files.kill();
  }

  async remove(signal: AbortSignal): Promise<void> {
    await this.#letGo();
    const isThere = this.#isSlice || this.#files.exists();
    await this.#files.remove(signal);
    try {
      // Without its group, the unit has ended by itself, or is another's of the same name.
      if (!isThere && (await this.#isElsewhere())) return;
      await this.#driver.units.stop(this.#group.unit, COLLECT_TIMEOUT_MS);
    } catch (error) {
      // A scope without processes ends by itself, as soon as there is a systemd again.
      if (this.#isSlice || !["unavailable", "deadline-exceeded"].includes(errorKind(error))) throw error;
    }
  }

  async removeIfEmpty(): Promise<boolean> {
    if ((await this.processes()).length > 0) return false;
    await this.#letGo();
    const gone = await this.#files.removeIfEmpty();
    if (gone) await this.#driver.units.stop(this.#group.unit, COLLECT_TIMEOUT_MS);
    return gone;
  }

  /** systemd keeps its groups alike in all hierarchies. */
  removeShadow(): Promise<void> {
    return Promise.resolve();
  }

  /** Whether the unit of our name is a slice, or has its group elsewhere: in another slice there may be another's. */
  async #isOthers(): Promise<boolean> {
    return this.#isSlice || (await this.#isElsewhere());
  }

  async #isElsewhere(): Promise<boolean> {
    const { unit, path } = this.#group;
    const { units } = this.#driver;
    const [property] = await units.read(unit, ["ControlGroup"]).catch((error: unknown) => {
      if (errorKind(error) === "not-found") return [];
      throw error;
    });
    const [, [, where]] = property ?? ["", ["s", ""]];
    return where !== "" && where !== path;
  }

  async #letGo(): Promise<void> {
    const { holders } = this.#driver;
    const holder = holders.get(this.#group.unit);
    holders.delete(this.#group.unit);
    await holder?.end();
  }

  /**
   * Once more where a unit of this name is in the way in which nothing runs: one that has failed, or whose holder's
   * process has died. One that has our holder is ours, and its answer was lost.
   */
  async #start(properties: readonly UnitProperty[], holder?: Holder): Promise<void> {
    const { units } = this.#driver;
    const { unit } = this.#group;
    for (let attempt = 0; ; attempt++) {
      try {
        await units.start(unit, properties);
        return;
      } catch (error) {
        const kind = errorKind(error);
        if (attempt === 1 || (kind !== "already-exists" && kind !== "unavailable")) throw error;
        const inside = await this.#files.processes();
        if (holder && inside.includes(holder.pid)) return;
        if (inside.length > 0 || (kind === "already-exists" && (await this.#isOthers())))
          throw new GantryError("already-exists", `cgroup ${this.path}: unit ${unit} exists`, {
            cause: error,
          });
        if (kind === "already-exists") await units.stop(unit);
      }
    }
  }
}

/** Some properties came with later versions. */
function needsVersion({ cpu, unified }: Resources): boolean {
  return cpu?.idle !== undefined || Boolean(cpu?.period) || unified !== undefined;
}

/** So that the counters are there, whatever the host's defaults are. */
const ACCOUNTING = (version: "v1" | "v2"): UnitProperty[] =>
  [
    "CPUAccounting",
    "MemoryAccounting",
    "TasksAccounting",
    version === "v2" ? "IOAccounting" : "BlockIOAccounting",
  ].map((name) => [name, ["b", true]]);

/** Lists are added to, so an empty one goes before. */
function restoring(old: readonly UnitProperty[]): UnitProperty[] {
  return old.flatMap((property): UnitProperty[] =>
    property[0] === "DeviceAllow" ? [["DeviceAllow", ["a(ss)", []]], property] : [property],
  );
}
