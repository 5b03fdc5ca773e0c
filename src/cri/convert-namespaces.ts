/** Namespace options of pods and containers, both ways. */
import type { IdMapping, NamespaceMode, NamespaceOptions } from "../engine/pod-sandbox.ts";
import type { IDMapping__Output } from "./generated/runtime/v1/IDMapping.ts";
import type { NamespaceMode__Output } from "./generated/runtime/v1/NamespaceMode.ts";
import type { NamespaceOption, NamespaceOption__Output } from "./generated/runtime/v1/NamespaceOption.ts";
import type { UserNamespace__Output } from "./generated/runtime/v1/UserNamespace.ts";
import { choice, integer, invalid, text } from "./request-field.ts";

const MODES: Readonly<Record<NamespaceMode__Output, NamespaceMode>> = {
  POD: "pod",
  CONTAINER: "container",
  NODE: "node",
  TARGET: "target",
};
const POD_OR_NODE = { POD: "pod", NODE: "node" } as const;
const MODE_NAMES: Readonly<Record<NamespaceMode, NamespaceMode__Output>> = {
  pod: "POD",
  container: "CONTAINER",
  node: "NODE",
  target: "TARGET",
};

/** Number of ids in a user namespace, less the one that means "none" (user_namespaces(7)). */
const MAX_ID = 2 ** 32 - 1;

/** Absent options are the zero ones: everything of the pod. */
export function namespaceOptions(options: NamespaceOption__Output | null, field: string): NamespaceOptions {
  if (!options) return { network: "pod", pid: "pod", ipc: "pod", targetId: "" };
  const pid = choice(MODES, options.pid, `${field}.pid`);
  const targetId = text(options.target_id, `${field}.target_id`);
  if (pid === "target" && targetId === "")
    throw invalid(`${field}.target_id`, "is empty, with pid mode TARGET");
  const user = options.userns_options && userNamespace(options.userns_options, `${field}.userns_options`);
  return {
    network: podOrNode(options.network, `${field}.network`),
    pid,
    ipc: podOrNode(options.ipc, `${field}.ipc`),
    targetId,
    ...(user ? { user } : {}),
  };
}

function podOrNode(mode: NamespaceMode__Output, field: string): "pod" | "node" {
  if (mode === "CONTAINER" || mode === "TARGET") throw invalid(field, `is ${mode}, and must be POD or NODE`);
  return choice(POD_OR_NODE, mode, field);
}

/** One range for each kind of id, with root in it: more the kubelet never asks for. */
function userNamespace(options: UserNamespace__Output, field: string): NonNullable<NamespaceOptions["user"]> {
  const mode = podOrNode(options.mode, `${field}.mode`);
  const uids = idMappings(options.uids, `${field}.uids`);
  const gids = idMappings(options.gids, `${field}.gids`);
  if (mode === "pod") {
    for (const [name, mappings] of Object.entries({ uids, gids })) {
      const [first] = mappings;
      if (mappings.length !== 1 || first?.containerId !== 0)
        throw invalid(`${field}.${name}`, "must be one mapping that begins at container id 0");
    }
  }
  return { mode, uids, gids };
}

export function idMappings(mappings: readonly IDMapping__Output[], field: string): IdMapping[] {
  return mappings.map((mapping, index) => {
    const at = `${field}[${index}]`;
    const containerId = integer(mapping.container_id, `${at}.container_id`, 0, MAX_ID);
    const hostId = integer(mapping.host_id, `${at}.host_id`, 0, MAX_ID);
    const room = MAX_ID - Math.max(containerId, hostId);
    return { containerId, hostId, length: integer(mapping.length, `${at}.length`, 1, room) };
  });
}

export function idMappingMessages(
  mappings: readonly IdMapping[],
): { host_id: number; container_id: number; length: number }[] {
  return mappings.map(({ hostId, containerId, length }) => ({
    host_id: hostId,
    container_id: containerId,
    length,
  }));
}

export function namespaceOptionMessage(options: NamespaceOptions): NamespaceOption {
  const { user } = options;
  return {
    network: MODE_NAMES[options.network],
    pid: MODE_NAMES[options.pid],
    ipc: MODE_NAMES[options.ipc],
    target_id: options.targetId,
    ...(user
      ? {
          userns_options: {
            mode: MODE_NAMES[user.mode],
            uids: idMappingMessages(user.uids),
            gids: idMappingMessages(user.gids),
          },
        }
      : {}),
  };
}
