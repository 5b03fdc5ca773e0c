/** StreamPodSandboxStats: the list in several messages. */
import { podStatsFilter, podStatsMessage } from "../convert-stats.ts";
import type { StreamPodSandboxStatsRequest__Output } from "../generated/runtime/v1/StreamPodSandboxStatsRequest.ts";
import type { StreamPodSandboxStatsResponse } from "../generated/runtime/v1/StreamPodSandboxStatsResponse.ts";
import type { StreamRpc } from "../rpc-handler.ts";

export const streamPodSandboxStats: StreamRpc<
  StreamPodSandboxStatsRequest__Output,
  StreamPodSandboxStatsResponse
> = async function* ({ engine }, request, signal) {
  for await (const pods of engine.listPodStats(podStatsFilter(request.filter), signal))
    if (pods.length > 0) yield { pod_sandbox_stats: pods.map(podStatsMessage) };
};
