/** ContainerStatus: one container. */
import { containerStatusMessage } from "../convert-container.ts";
import type { ContainerStatusRequest__Output } from "../generated/runtime/v1/ContainerStatusRequest.ts";
import type { ContainerStatusResponse } from "../generated/runtime/v1/ContainerStatusResponse.ts";
import { nonEmpty } from "../request-field.ts";
import type { UnaryRpc } from "../rpc-handler.ts";
import { singleInfo } from "../verbose-info.ts";

export const containerStatus: UnaryRpc<ContainerStatusRequest__Output, ContainerStatusResponse> = (
  { engine },
  request,
) => {
  const container = engine.container(nonEmpty(request.container_id, "container_id"));
  return {
    status: containerStatusMessage(container, engine.images.get(container.imageId)),
    ...(request.verbose ? { info: singleInfo(engine.verboseContainer(container.id)) } : {}),
  };
};
