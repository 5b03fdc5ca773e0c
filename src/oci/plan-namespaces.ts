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
import type { PlanWriter } from "./plan.ts";
import type { IdMapping, Linux, NamespaceType } from "./runtime-spec.ts";

export interface NamespacePlan {
  /** Types that the clone makes. */
  cloneFlags: bigint;
  /** Cloned by the process itself after it has joined a PID or user namespace; undefined: no fork. */
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

/** @throws GantryError invalid-argument for a type that is there twice. */
export function namespacePlan(linux: Linux | undefined): NamespacePlan {
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
    if (isNew(type) && type !== "cgroup" && type !== "time") flags |= BigInt(CLONE_NEW[type]);
  }
  const joined = JOIN_ORDER.flatMap((type) => {
    const path = byType.get(type);
    return path === undefined ? [] : [{ type, path }];
  });
  const fork = joined.some(({ type }) => type === "pid" || type === "user");
  return {
    cloneFlags: fork ? 0n : flags,
    forkFlags: fork ? flags : undefined,
    joined,
    isNew,
    has: (type) => byType.has(type),
  };
}

const mapLines = (mappings: readonly IdMapping[]): string =>
  mappings.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join("");

/** Joins and forks. */
export function addJoins(plan: PlanWriter, namespaces: NamespacePlan): void {
  for (const { type, path } of namespaces.joined) plan.add("joinNamespace", { type: CLONE_NEW[type], path });
  if (namespaces.forkFlags !== undefined) plan.add("fork", { cloneFlags: namespaces.forkFlags });
}

/** The launcher's part in a new user namespace; what `addMore` adds it does in the same pause. */
export function addUserNamespace(plan: PlanWriter, linux: Linux, addMore: () => void): void {
  if (!linux.uidMappings?.length || !linux.gidMappings?.length)
    throw new GantryError("invalid-argument", "a new user namespace needs uidMappings and gidMappings");
  plan.add("rendezvous", {});
  plan.add("parentIdMap", { uids: mapLines(linux.uidMappings), gids: mapLines(linux.gidMappings) });
  addMore();
  plan.add("release", {});
}

/** A new time namespace with its offsets, and a new cgroup namespace. */
export function addLateNamespaces(
  plan: PlanWriter,
  linux: Linux | undefined,
  namespaces: NamespacePlan,
): void {
  if (namespaces.isNew("time")) {
    const text = Object.entries(linux?.timeOffsets ?? {})
      .map(([clock, { secs = 0, nanosecs = 0 }]) => `${clock} ${secs} ${nanosecs}\n`)
      .join("");
    plan.add("timeOffsets", { text });
  }
  if (namespaces.isNew("cgroup")) plan.add("unshare", { flags: BigInt(CLONE_NEW.cgroup) });
}
