/** GetContainerEvents: every change in the life of a pod or container, as it happens, until the client goes. */
import { eventMessage } from "../convert-event.ts";
import type { ContainerEventResponse } from "../generated/runtime/v1/ContainerEventResponse.ts";
import type { GetEventsRequest__Output } from "../generated/runtime/v1/GetEventsRequest.ts";
import type { StreamRpc } from "../rpc-handler.ts";

export const getContainerEvents: StreamRpc<GetEventsRequest__Output, ContainerEventResponse> =
  async function* ({ engine }, _request, signal) {
    for await (const event of engine.events(signal))
      yield eventMessage(event, (imageId) => engine.images.get(imageId));
  };
