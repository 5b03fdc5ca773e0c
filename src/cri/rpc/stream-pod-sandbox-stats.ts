/** StreamPodSandboxStats: the list in several messages. */
import { podStatsFilter, writePodStats } from "../convert-stats.ts";
import type { StreamPodSandboxStatsRequest__Output } from "../generated/runtime/v1/StreamPodSandboxStatsRequest.ts";
import type { StreamPodSandboxStatsResponse } from "../generated/runtime/v1/StreamPodSandboxStatsResponse.ts";
import type { StreamRpc } from "../rpc-handler.ts";
import { WireWriter } from "../wire-writer.ts";

export const streamPodSandboxStats: StreamRpc<
  StreamPodSandboxStatsRequest__Output,
  StreamPodSandboxStatsResponse
> = async function* ({ engine }, request, signal) {
  for await (const usages of engine.listPodStats(podStatsFilter(request.filter), signal)) {
    const message = new WireWriter();
    for (const usage of usages) writePodStats(message, usage);
    yield message.finish();
  }
};
