/** ListContainers. */
import { containerFilter, containerMessage } from "../convert-container.ts";
import type { ListContainersRequest__Output } from "../generated/runtime/v1/ListContainersRequest.ts";
import type { ListContainersResponse } from "../generated/runtime/v1/ListContainersResponse.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

export const listContainers: UnaryRpc<ListContainersRequest__Output, ListContainersResponse> = (
  { engine },
  request,
) => ({ containers: engine.listContainers(containerFilter(request.filter)).map(containerMessage) });
