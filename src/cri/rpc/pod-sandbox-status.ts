/** PodSandboxStatus: one sandbox, with its containers as clients that follow events want them. */
import { wallClockNs } from "../../engine/clock.ts";
import { containerStatusMessage } from "../convert-container.ts";
import { podSandboxStatusMessage } from "../convert-pod-sandbox.ts";
import type { PodSandboxStatusRequest__Output } from "../generated/runtime/v1/PodSandboxStatusRequest.ts";
import type { PodSandboxStatusResponse } from "../generated/runtime/v1/PodSandboxStatusResponse.ts";
import { nonEmpty } from "../request-field.ts";
import type { UnaryRpc } from "../rpc-handler.ts";
import { singleInfo } from "../verbose-info.ts";

export const podSandboxStatus: UnaryRpc<PodSandboxStatusRequest__Output, PodSandboxStatusResponse> = (
  { engine },
  request,
) => {
  // Read before the states: what is answered was true at this time or later. It is compared with those of events.
  const timestampNs = wallClockNs();
  const sandbox = engine.podSandbox(nonEmpty(request.pod_sandbox_id, "pod_sandbox_id"));
  const containers = engine.listContainers({ podSandboxId: sandbox.id });
  return {
    status: podSandboxStatusMessage(sandbox),
    containers_statuses: containers.map((container) =>
      containerStatusMessage(container, engine.images.get(container.imageId)),
    ),
    timestamp: timestampNs.toString(),
    ...(request.verbose ? { info: singleInfo(engine.verbosePodSandbox(sandbox.id)) } : {}),
  };
};
