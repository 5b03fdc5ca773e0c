/** ListPodSandboxStats: use of resources by ready pods. */
import { podStatsFilter, writePodStats } from "../convert-stats.ts";
import type { ListPodSandboxStatsRequest__Output } from "../generated/runtime/v1/ListPodSandboxStatsRequest.ts";
import type { ListPodSandboxStatsResponse } from "../generated/runtime/v1/ListPodSandboxStatsResponse.ts";
import type { UnaryRpc } from "../rpc-handler.ts";
import { WireWriter } from "../wire-writer.ts";

export const listPodSandboxStats: UnaryRpc<
  ListPodSandboxStatsRequest__Output,
  ListPodSandboxStatsResponse
> = async ({ engine }, request, signal) => {
  const reply = new WireWriter();
  for await (const usages of engine.listPodStats(podStatsFilter(request.filter), signal))
    for (const usage of usages) writePodStats(reply, usage);
  return reply.finish();
};
