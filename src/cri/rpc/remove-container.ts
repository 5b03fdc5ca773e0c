/** RemoveContainer: removes a container, running or not. Unknown ids are no error. */
import type { RemoveContainerRequest__Output } from "../generated/runtime/v1/RemoveContainerRequest.ts";
import type { RemoveContainerResponse } from "../generated/runtime/v1/RemoveContainerResponse.ts";
import { nonEmpty } from "../request-field.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

export const removeContainer: UnaryRpc<RemoveContainerRequest__Output, RemoveContainerResponse> = async (
  { engine },
  request,
  signal,
) => {
  await engine.removeContainer(nonEmpty(request.container_id, "container_id"), signal);
  return {};
};
