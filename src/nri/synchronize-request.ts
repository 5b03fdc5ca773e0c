/** The whole state as requests of a size that a plugin can take: all but the last say that there is more. */
import { GantryError } from "../base/errors.ts";
import type { ContainerMessage, PodSandboxMessage } from "./messages.ts";
import { nriCodec } from "./protocol.ts";
import { MAX_MESSAGE_BYTES } from "./ttrpc-frame.ts";

/** Leaves room for ttrpc's envelope. */
const ROOM_BYTES = MAX_MESSAGE_BYTES - 65_536;
/** Tag and length of an element in its list. */
const ELEMENT_BYTES = 8;

export interface SynchronizeMessage {
  pods: PodSandboxMessage[];
  containers: ContainerMessage[];
  more: boolean;
}

/** @throws resource-exhausted for one pod or container that is too large alone. */
export function synchronizeRequests(
  pods: PodSandboxMessage[],
  containers: ContainerMessage[],
): SynchronizeMessage[] {
  const requests: SynchronizeMessage[] = [];
  let request: SynchronizeMessage = { pods: [], containers: [], more: false };
  let size = 0;
  const add = <T extends { id?: string }>(
    kind: "PodSandbox" | "Container",
    list: (to: SynchronizeMessage) => T[],
    item: T,
  ): void => {
    const bytes = nriCodec<T, unknown>(kind).encode(item).length + ELEMENT_BYTES;
    if (bytes > ROOM_BYTES)
      throw new GantryError(
        "resource-exhausted",
        `${kind} ${item.id ?? ""} takes ${bytes} bytes, more than ${ROOM_BYTES}`,
      );
    if (size + bytes > ROOM_BYTES) {
      requests.push({ ...request, more: true });
      request = { pods: [], containers: [], more: false };
      size = 0;
    }
    list(request).push(item);
    size += bytes;
  };
  for (const pod of pods) add("PodSandbox", (to) => to.pods, pod);
  for (const container of containers) add("Container", (to) => to.containers, container);
  return [...requests, request];
}
