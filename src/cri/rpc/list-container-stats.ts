/** ListContainerStats: use of resources by running containers. */
import { containerStatsFilter, writeContainerStats } from "../convert-stats.ts";
import type { ListContainerStatsRequest__Output } from "../generated/runtime/v1/ListContainerStatsRequest.ts";
import type { ListContainerStatsResponse } from "../generated/runtime/v1/ListContainerStatsResponse.ts";
import type { UnaryRpc } from "../rpc-handler.ts";
import { WireWriter } from "../wire-writer.ts";

export const listContainerStats: UnaryRpc<
  ListContainerStatsRequest__Output,
  ListContainerStatsResponse
> = async ({ engine }, request, signal) => {
  const reply = new WireWriter();
  for await (const usages of engine.listContainerStats(containerStatsFilter(request.filter), signal))
    for (const usage of usages) writeContainerStats(reply, usage);
  return reply.finish();
};
