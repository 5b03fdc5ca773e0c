/** StreamContainerStats: the list in several messages. */
import { batches } from "../batch.ts";
import { containerStatsFilter } from "../convert-stats.ts";
import type { StreamContainerStatsRequest__Output } from "../generated/runtime/v1/StreamContainerStatsRequest.ts";
import type { StreamContainerStatsResponse } from "../generated/runtime/v1/StreamContainerStatsResponse.ts";
import type { StreamRpc } from "../rpc-handler.ts";
import { withContainers } from "./list-container-stats.ts";

export const streamContainerStats: StreamRpc<
  StreamContainerStatsRequest__Output,
  StreamContainerStatsResponse
> = async function* ({ engine }, request) {
  const usages = await engine.listContainerStats(containerStatsFilter(request.filter));
  const stats = withContainers(engine, usages);
  for (const batch of batches(stats, (item) => item)) yield { container_stats: batch };
};
