/** Events, as kubelets read them: the pod's whole status comes with each, so that none has to be asked for. */
import type { ImageRecord } from "../engine/engine.ts";
import type { LifecycleChange, LifecycleEvent } from "../engine/events.ts";
import { containerStatusMessage } from "./convert-container.ts";
import { podSandboxStatusMessage } from "./convert-pod-sandbox.ts";
import type { ContainerEventResponse } from "./generated/runtime/v1/ContainerEventResponse.ts";
import type { ContainerEventType__Output } from "./generated/runtime/v1/ContainerEventType.ts";

const TYPES: Readonly<Record<LifecycleChange, ContainerEventType__Output>> = {
  created: "CONTAINER_CREATED_EVENT",
  started: "CONTAINER_STARTED_EVENT",
  stopped: "CONTAINER_STOPPED_EVENT",
  deleted: "CONTAINER_DELETED_EVENT",
};

/** @param image looks up a container's image, for its name. */
export function eventMessage(
  { id, change, atNs, podSandbox, containers }: LifecycleEvent,
  image: (id: string) => ImageRecord | undefined,
): ContainerEventResponse {
  return {
    container_id: id,
    container_event_type: TYPES[change],
    created_at: atNs.toString(),
    pod_sandbox_status: podSandboxStatusMessage(podSandbox),
    containers_statuses: containers.map((container) =>
      containerStatusMessage(container, image(container.imageId)),
    ),
  };
}
