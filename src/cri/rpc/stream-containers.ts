/** StreamContainers: the list in several messages. */
import { batches } from "../batch.ts";
import { containerFilter, containerMessage } from "../convert-container.ts";
import type { StreamContainersRequest__Output } from "../generated/runtime/v1/StreamContainersRequest.ts";
import type { StreamContainersResponse } from "../generated/runtime/v1/StreamContainersResponse.ts";
import type { StreamRpc } from "../rpc-handler.ts";

export const streamContainers: StreamRpc<StreamContainersRequest__Output, StreamContainersResponse> =
  function* ({ engine }, request) {
    const containers = engine.listContainers(containerFilter(request.filter));
    for (const batch of batches(containers, containerMessage)) yield { containers: batch };
  };
