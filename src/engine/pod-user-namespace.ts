/**
 * The user namespace of a pod: whether it can be had, and what its ids are on the host. It is pinned beside the pod's
 * other namespaces, which it owns; containers join it, and their files get its ids by id-mapped mounts.
 */
import { GantryError } from "../base/errors.ts";
import { hostId } from "../oci/plan-host-phase.ts";
import type { IdMapping as SpecIdMapping } from "../oci/runtime-spec.ts";
import type { ResolvedUser } from "../oci/user-lookup.ts";
import type { ContainerConfig, ContainerMount } from "./container.ts";
import type { RuntimeHandlerInfo } from "./engine.ts";
import type { IdMapping, NamespaceOptions, PodSandboxConfig } from "./pod-sandbox.ts";

export interface PodIdMaps {
  uids: SpecIdMapping[];
  gids: SpecIdMapping[];
}

/** As the OCI has them. */
export function specIdMappings(mappings: readonly IdMapping[]): SpecIdMapping[] {
  return mappings.map(({ containerId, hostId: host, length }) => ({
    containerID: containerId,
    hostID: host,
    size: length,
  }));
}

/** The maps of a pod's user namespace; undefined where the pod is in the host's. */
export function podIdMaps({ user }: NamespaceOptions): PodIdMaps | undefined {
  if (user?.mode !== "pod") return undefined;
  return { uids: specIdMappings(user.uids), gids: specIdMappings(user.gids) };
}

/** The pod's root on the host, who owns what is made for the pod; undefined for the host's own. */
export function podRoot(namespaces: NamespaceOptions): { uid: number; gid: number } | undefined {
  const maps = podIdMaps(namespaces);
  const [uid, gid] = [hostId(maps?.uids, 0), hostId(maps?.gids, 0)];
  return uid === undefined || gid === undefined ? undefined : { uid, gid };
}

/** @throws invalid-argument, or failed-precondition where the handler has no user namespaces. */
export function checkPodUserNamespace(
  { namespaces }: PodSandboxConfig,
  handler: RuntimeHandlerInfo | undefined,
): void {
  const { user } = namespaces;
  if (user?.mode !== "pod") return;
  for (const [kind, mappings] of [
    ["uids", user.uids],
    ["gids", user.gids],
  ] as const) {
    checkIdMappings(mappings, `user namespace: ${kind}`);
    if (hostId(specIdMappings(mappings), 0) === undefined)
      throw invalid(`user namespace: ${kind} do not map id 0, the pod's root`);
  }
  checkCompanions(namespaces);
  if (!handler?.userNamespaces)
    throw new GantryError(
      "failed-precondition",
      `runtime handler "${handler?.name ?? ""}" has no user namespaces on this host: its kernel or the filesystem of the snapshots cannot id-map root filesystems`,
    );
}

/** A host's namespace of processes or IPC cannot be shown in a user namespace; Kubernetes forbids it, too. */
function checkCompanions({ pid, ipc }: NamespaceOptions): void {
  for (const [name, mode] of Object.entries({ pid, ipc }))
    if (mode === "node") throw invalid(`user namespace: not with the host's ${name} namespace`);
}

/** A container has its pod's user namespace, whether it names it again or not. @throws invalid-argument. */
export function checkContainerUserNamespace(
  { security, mounts }: ContainerConfig,
  pod: PodSandboxConfig,
): void {
  const own = security.namespaces;
  const maps = podIdMaps(pod.namespaces);
  if (own?.user && JSON.stringify(podIdMaps(own)) !== JSON.stringify(maps))
    throw invalid("container: its user namespace is not that of its pod sandbox");
  for (const mount of mounts) checkMountMappings(mount);
  if (!maps) return;
  if (own) checkCompanions({ ...own, ipc: pod.namespaces.ipc });
  for (const { containerPath, propagation } of mounts)
    if (propagation === "bidirectional")
      throw invalid(
        `mount "${containerPath}": a pod in a user namespace cannot propagate mounts to the host`,
      );
}

function checkMountMappings({ containerPath, image, uidMappings, gidMappings }: ContainerMount): void {
  if (uidMappings.length + gidMappings.length === 0 || image) return;
  checkIdMappings(uidMappings, `mount "${containerPath}": uid mappings`);
  checkIdMappings(gidMappings, `mount "${containerPath}": gid mappings`);
}

/** What the kernel would refuse without telling why. @throws invalid-argument. */
export function checkIdMappings(mappings: readonly IdMapping[], what: string): void {
  if (mappings.length === 0) throw invalid(`${what} are missing`);
  const limit = 2 ** 32 - 1;
  for (const [index, mapping] of mappings.entries()) {
    const { containerId, hostId: host, length } = mapping;
    const isRange = (first: number): boolean =>
      Number.isInteger(first) && first >= 0 && first + length <= limit;
    if (!Number.isInteger(length) || length < 1 || !isRange(containerId) || !isRange(host))
      throw invalid(`${what}: ${containerId} to ${host}, ${length} ids, is not a range`);
    for (const other of mappings.slice(0, index))
      if (
        overlap(containerId, other.containerId, length, other.length) ||
        overlap(host, other.hostId, length, other.length)
      )
        throw invalid(`${what}: ranges overlap`);
  }
}

function overlap(one: number, two: number, oneLength: number, twoLength: number): boolean {
  return one < two + twoLength && two < one + oneLength;
}

/** @throws invalid-argument for an id that the pod's user namespace does not have. */
export function checkUserMapped(user: ResolvedUser, { namespaces }: PodSandboxConfig): void {
  const maps = podIdMaps(namespaces);
  if (!maps) return;
  const lacking = (what: string, id: number): GantryError =>
    invalid(`${what} ${id} is not mapped in the pod's user namespace`);
  if (hostId(maps.uids, user.uid) === undefined) throw lacking("user", user.uid);
  for (const gid of [user.gid, ...user.additionalGids])
    if (hostId(maps.gids, gid) === undefined) throw lacking("group", gid);
}

function invalid(message: string): GantryError {
  return new GantryError("invalid-argument", message);
}
