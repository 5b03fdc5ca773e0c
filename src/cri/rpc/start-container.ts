/** StartContainer: runs the command of a created container. */
import type { StartContainerRequest__Output } from "../generated/runtime/v1/StartContainerRequest.ts";
import type { StartContainerResponse } from "../generated/runtime/v1/StartContainerResponse.ts";
import { nonEmpty } from "../request-field.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

export const startContainer: UnaryRpc<StartContainerRequest__Output, StartContainerResponse> = async (
  { engine },
  request,
  signal,
) => {
  await engine.startContainer(nonEmpty(request.container_id, "container_id"), signal);
  return {};
};
