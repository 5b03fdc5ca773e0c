/** ContainerStats: use of resources by one container. */
import { containerStatsMessage } from "../convert-stats.ts";
import type { ContainerStatsRequest__Output } from "../generated/runtime/v1/ContainerStatsRequest.ts";
import type { ContainerStatsResponse } from "../generated/runtime/v1/ContainerStatsResponse.ts";
import { nonEmpty } from "../request-field.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

export const containerStats: UnaryRpc<ContainerStatsRequest__Output, ContainerStatsResponse> = async (
  { engine },
  request,
) => {
  const container = engine.container(nonEmpty(request.container_id, "container_id"));
  return { stats: containerStatsMessage(await engine.containerStats(container.id)) };
};
