/** StreamContainerStats: the list in several messages. */
import { containerStatsFilter, writeContainerStats } from "../convert-stats.ts";
import type { StreamContainerStatsRequest__Output } from "../generated/runtime/v1/StreamContainerStatsRequest.ts";
import type { StreamContainerStatsResponse } from "../generated/runtime/v1/StreamContainerStatsResponse.ts";
import type { StreamRpc } from "../rpc-handler.ts";
import { WireWriter } from "../wire-writer.ts";

export const streamContainerStats: StreamRpc<
  StreamContainerStatsRequest__Output,
  StreamContainerStatsResponse
> = async function* ({ engine }, request, signal) {
  for await (const usages of engine.listContainerStats(containerStatsFilter(request.filter), signal)) {
    const message = new WireWriter();
    for (const usage of usages) writeContainerStats(message, usage);
    yield message.finish();
  }
};
