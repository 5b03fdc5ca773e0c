/** StopContainer: asks a container to end and kills it when its time is over. Unknown ids are no error. */
import type { StopContainerRequest__Output } from "../generated/runtime/v1/StopContainerRequest.ts";
import type { StopContainerResponse } from "../generated/runtime/v1/StopContainerResponse.ts";
import { nonEmpty, timeoutSeconds } from "../request-field.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

export const stopContainer: UnaryRpc<StopContainerRequest__Output, StopContainerResponse> = async (
  { engine },
  request,
  signal,
) => {
  const id = nonEmpty(request.container_id, "container_id");
  await engine.stopContainer(id, timeoutSeconds(request.timeout, "timeout"), signal);
  return {};
};
