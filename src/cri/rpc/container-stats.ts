/** ContainerStats: use of resources by one container. */
import { writeContainerStats } from "../convert-stats.ts";
import type { ContainerStatsRequest__Output } from "../generated/runtime/v1/ContainerStatsRequest.ts";
import type { ContainerStatsResponse } from "../generated/runtime/v1/ContainerStatsResponse.ts";
import { nonEmpty } from "../request-field.ts";
import type { UnaryRpc } from "../rpc-handler.ts";
import { WireWriter } from "../wire-writer.ts";

export const containerStats: UnaryRpc<ContainerStatsRequest__Output, ContainerStatsResponse> = async (
  { engine },
  request,
) => {
  const reply = new WireWriter();
  writeContainerStats(reply, await engine.containerStats(nonEmpty(request.container_id, "container_id")));
  return reply.finish();
};
