/** ListContainerStats: use of resources by running containers. */
import { containerStatsFilter, containerStatsMessage } from "../convert-stats.ts";
import type { ListContainerStatsRequest__Output } from "../generated/runtime/v1/ListContainerStatsRequest.ts";
import type { ListContainerStatsResponse } from "../generated/runtime/v1/ListContainerStatsResponse.ts";
import { ReplyParts } from "../reply-parts.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

export const listContainerStats: UnaryRpc<
  ListContainerStatsRequest__Output,
  ListContainerStatsResponse
> = async ({ engine }, request, signal) => {
  const reply = new ReplyParts<ListContainerStatsResponse>("ListContainerStatsResponse");
  for await (const usages of engine.listContainerStats(containerStatsFilter(request.filter), signal))
    reply.add({ stats: usages.map(containerStatsMessage) });
  return reply.finish();
};
