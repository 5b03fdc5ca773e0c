/**
 * The host phase of a plan: what a process does with its launcher's power, on the host's paths, before it joins a user
 * namespace that would take both away. Bind mounts are made and id-mapped then, detached, and attached later; so is the
 * root filesystem, whose layers stay as they are on disk and get their owners by id-mapped mounts.
 *
 *   limits ─ [own mount namespace ─ id maps, bind mounts ─ root filesystem] ─ joins ─ fork ─ attach root ─ root … attach
 *
 * The mount namespace of this phase belongs to the host and receives its mounts without giving any back: a clone of a
 * host's shared mount must not carry mounts of a container's root to the host. Without a user namespace the phase makes
 * the bind mounts only, and its mounts propagate as `rootfsPropagation` says: those of the container do, too.
 */
import { posix } from "node:path";
import { GantryError } from "../base/errors.ts";
import { CLONE_NEW, MS } from "./plan-constants.ts";
import { setUpPropagation } from "./plan-mount-options.ts";
import { PLAN_TABLE, type HostPhase, type PlanWriter } from "./plan.ts";
import type { PlanRootfs } from "./plan-rootfs.ts";
import type { IdMapping, Linux, Mount, Spec } from "./runtime-spec.ts";

/** Whether a mount is to be id-mapped, by mappings of its own or by those of the container's user namespace. */
export function hasIdMap(mount: Mount): boolean {
  const asked = mount.options?.some((option) => option === "idmap" || option === "ridmap") ?? false;
  return asked || (mount.uidMappings?.length ?? 0) + (mount.gidMappings?.length ?? 0) > 0;
}

/** Whether a configuration has what only a host phase can do. */
export function needsHostPhase(spec: Spec): boolean {
  return spec.mounts?.some(hasIdMap) ?? false;
}

export const mapLines = (mappings: readonly IdMapping[]): string =>
  mappings.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join("");

/** The host's id for one of a user namespace; undefined where it has none. */
export function hostId(mappings: readonly IdMapping[] | undefined, id: number): number | undefined {
  const found = mappings?.find(({ containerID, size }) => id >= containerID && id < containerID + size);
  return found && found.hostID + (id - found.containerID);
}

class WrittenHostPhase implements HostPhase {
  readonly plan: PlanWriter;
  readonly rootPlan: PlanWriter;
  entryPlan: PlanWriter;
  readonly #whole: PlanWriter;
  readonly #numbers = new Map<string, number>();
  readonly #mapped = new Set<string>();
  ownIdMap = 0;

  constructor(plan: PlanWriter) {
    this.#whole = plan;
    this.plan = plan.section();
    this.rootPlan = plan.section();
    this.entryPlan = this.rootPlan;
  }

  end(): void {
    this.entryPlan = this.#whole.section();
  }

  mapDirectory(path: string): void {
    if (this.#mapped.has(path)) return;
    this.#mapped.add(path);
    this.rootPlan.add("mapDirectory", { idMap: this.ownIdMap, path });
  }

  idMap(uids: readonly IdMapping[] = [], gids: readonly IdMapping[] = []): number {
    return this.keep("", mapLines(uids), mapLines(gids));
  }

  /** @param path of an existing user namespace with these maps; empty: it is made. */
  keep(path: string, uids: string, gids: string): number {
    const key = `${uids};${gids}`;
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const number = this.#numbers.size + 1;
    if (number > PLAN_TABLE.constants.kept.idMaps)
      throw new GantryError("resource-exhausted", `more than ${number - 1} different id mappings`);
    this.plan.add("idMap", path === "" ? { path, uids, gids } : { path, uids: "", gids: "" });
    this.#numbers.set(key, number);
    return number;
  }
}

/**
 * Begins the phase at this point of the plan; `plan.hostPhase` takes its operations from now on.
 *
 * @param mapRoot layers of the root filesystem will be id-mapped.
 * @param userId of the command: its streams will be its own, as the process could not give them away later.
 */
export function beginHostPhase(
  plan: PlanWriter,
  linux: Linux | undefined,
  mapRoot: boolean,
  userId: number,
): void {
  const user = linux?.namespaces?.find(({ type }) => type === "user");
  if (!linux?.namespaces?.some(({ type, path }) => type === "mount" && !path))
    throw new GantryError(
      "invalid-argument",
      "id-mapped mounts need a mount namespace of the container's own",
    );
  if (mapRoot && !user)
    throw new GantryError("invalid-argument", "an id-mapped root filesystem needs a user namespace");
  const phase = new WrittenHostPhase(plan);
  plan.hostPhase = phase;
  phase.plan.add("unshare", { flags: BigInt(CLONE_NEW.mount) });
  const propagation = user ? MS.SLAVE | MS.REC : setUpPropagation(linux.rootfsPropagation);
  phase.plan.add("propagation", { flags: propagation, target: "/" });
  if (!user) return;
  if (!user.path) requireMappings(linux);
  /* Without mappings that tell what an existing namespace has, no other map is taken for the same. */
  const uids = mapLines(linux.uidMappings ?? []) || user.path || "";
  phase.ownIdMap = phase.keep(user.path ?? "", uids, mapLines(linux.gidMappings ?? []));
  const owner = hostId(linux.uidMappings, userId);
  if (owner !== undefined) phase.plan.add("ownStdio", { uid: owner });
}

/** @throws GantryError invalid-argument. */
export function requireMappings(
  linux: Linux,
): asserts linux is Linux & { uidMappings: IdMapping[]; gidMappings: IdMapping[] } {
  if (!linux.uidMappings?.length || !linux.gidMappings?.length)
    throw new GantryError("invalid-argument", "a new user namespace needs uidMappings and gidMappings");
}

/**
 * Lays id-mapped mounts over the directories of an overlay: each layer, and the directory that upper and work directory
 * have in common, as overlayfs wants them on one mount.
 */
export function addMappedLayers(phase: HostPhase, rootfs: Extract<PlanRootfs, { type: "overlay" }>): void {
  for (const path of rootfs.lower) phase.mapDirectory(path);
  if (rootfs.upper === undefined) return;
  const parent = posix.dirname(rootfs.upper);
  if (rootfs.work === undefined || posix.dirname(rootfs.work) !== parent)
    throw new GantryError("invalid-argument", `${rootfs.upper} and its work directory are not side by side`);
  phase.mapDirectory(parent);
}
