/** ListPodSandboxStats: use of resources by ready pods. */
import { podStatsFilter, podStatsMessage } from "../convert-stats.ts";
import type { ListPodSandboxStatsRequest__Output } from "../generated/runtime/v1/ListPodSandboxStatsRequest.ts";
import type { ListPodSandboxStatsResponse } from "../generated/runtime/v1/ListPodSandboxStatsResponse.ts";
import { ReplyParts } from "../reply-parts.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

export const listPodSandboxStats: UnaryRpc<
  ListPodSandboxStatsRequest__Output,
  ListPodSandboxStatsResponse
> = async ({ engine }, request, signal) => {
  const reply = new ReplyParts<ListPodSandboxStatsResponse>("ListPodSandboxStatsResponse");
  for await (const pods of engine.listPodStats(podStatsFilter(request.filter), signal))
    reply.add({ stats: pods.map(podStatsMessage) });
  return reply.finish();
};
