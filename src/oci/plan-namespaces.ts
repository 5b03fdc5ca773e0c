/**
 * Operations that put a container's first process into its namespaces.
 *
 * New ones are made by the clone itself. A PID namespace is one that children are born in, and a user namespace
 * must own the others: where one of the two is joined by path, the process joins, and goes on as a sibling that is
 * cloned with the new ones. A cgroup namespace is always unshared after the move into the cgroup, which becomes its
 * root; a time namespace takes its offsets before anyone is in it.
 */
import { GantryError } from "../base/errors.ts";
import { CLONE_NEW } from "./plan-constants.ts";
import { mapLines, requireMappings } from "./plan-host-phase.ts";
import type { PlanWriter } from "./plan.ts";
import type { Linux, NamespaceType } from "./runtime-spec.ts";

export interface NamespacePlan {
  /** Types that the clone makes. */
  cloneFlags: bigint;
  /** Cloned by the process itself after it has joined a PID or user namespace, or after a host phase; undefined: no fork. */
  forkFlags: bigint | undefined;
  joined: { type: NamespaceType; path: string }[];
  isNew(type: NamespaceType): boolean;
  /** New or joined. */
  has(type: NamespaceType): boolean;
}

/** Others are joined with the power that the user namespace would take away; mounts last, as paths change. */
const JOIN_ORDER: readonly NamespaceType[] = [
  "network",
  "ipc",
  "uts",
  "cgroup",
  "time",
  "pid",
  "user",
  "mount",
];

/**
 * @param hostPhase the process enters its namespaces late, and its user namespace by the one that is kept.
 * @throws GantryError invalid-argument for a type that is there twice.
 */
export function namespacePlan(linux: Linux | undefined, hostPhase = false): NamespacePlan {
  const byType = new Map<NamespaceType, string | undefined>();
  for (const { type, path } of linux?.namespaces ?? []) {
    if (CLONE_NEW[type] === undefined || byType.has(type))
      throw new GantryError(
        "invalid-argument",
        `namespace ${JSON.stringify(type)} is unknown or there twice`,
      );
    byType.set(type, path || undefined);
  }
  const isNew = (type: NamespaceType): boolean => byType.has(type) && byType.get(type) === undefined;
  let flags = 0n;
  for (const type of byType.keys()) {
    const late = type === "cgroup" || type === "time" || (type === "user" && hostPhase);
    if (isNew(type) && !late) flags |= BigInt(CLONE_NEW[type]);
  }
  const joined = JOIN_ORDER.flatMap((type) => {
    const path = byType.get(type);
    if (type === "user" && hostPhase && byType.has(type)) return [{ type, path: "" }];
    return path === undefined ? [] : [{ type, path }];
  });
  const fork = hostPhase || joined.some(({ type }) => type === "pid" || type === "user");
  return {
    cloneFlags: fork ? 0n : flags,
    forkFlags: fork ? flags : undefined,
    joined,
    isNew,
    has: (type) => byType.has(type),
  };
}

/** Joins and forks. */
export function addJoins(plan: PlanWriter, namespaces: NamespacePlan): void {
  for (const { type, path } of namespaces.joined) {
    if (type === "user" && plan.hostPhase) plan.add("joinIdMap", { idMap: plan.hostPhase.ownIdMap });
    else plan.add("joinNamespace", { type: CLONE_NEW[type], path });
  }
  if (namespaces.forkFlags !== undefined) plan.add("fork", { cloneFlags: namespaces.forkFlags });
}

/** The launcher's part in a new user namespace; what `addMore` adds it does in the same pause. */
export function addUserNamespace(plan: PlanWriter, linux: Linux, addMore: () => void): void {
  requireMappings(linux);
  plan.add("rendezvous", {});
  plan.add("parentIdMap", { uids: mapLines(linux.uidMappings), gids: mapLines(linux.gidMappings) });
  addMore();
  plan.add("release", {});
}

/**
 * A new time namespace with its offsets. In a user namespace, whose power it needs, but as who the launcher was: procfs
 * would not let another user write.
 */
export function addTimeNamespace(
  plan: PlanWriter,
  linux: Linux | undefined,
  namespaces: NamespacePlan,
): void {
  if (!namespaces.isNew("time")) return;
  const text = Object.entries(linux?.timeOffsets ?? {})
    .map(([clock, { secs = 0, nanosecs = 0 }]) => `${clock} ${secs} ${nanosecs}\n`)
    .join("");
  plan.add("timeOffsets", { text });
}

/** A new cgroup namespace, whose root is where the process is. */
export function addCgroupNamespace(plan: PlanWriter, namespaces: NamespacePlan): void {
  if (namespaces.isNew("cgroup")) plan.add("unshare", { flags: BigInt(CLONE_NEW.cgroup) });
}
