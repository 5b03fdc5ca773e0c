/** UpdateContainerResources: all of the new limits, or none. `annotations` are for extensions and change nothing. */
import { linuxResources } from "../convert-resources.ts";
import type { UpdateContainerResourcesRequest__Output } from "../generated/runtime/v1/UpdateContainerResourcesRequest.ts";
import type { UpdateContainerResourcesResponse } from "../generated/runtime/v1/UpdateContainerResourcesResponse.ts";
import { nonEmpty, required } from "../request-field.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

export const updateContainerResources: UnaryRpc<
  UpdateContainerResourcesRequest__Output,
  UpdateContainerResourcesResponse
> = async ({ engine }, request, signal) => {
  const id = nonEmpty(request.container_id, "container_id");
  const resources = linuxResources(required(request.linux, "linux"), "linux");
  await engine.updateContainerResources(id, resources, signal);
  return {};
};
