/** PodSandboxStats: use of resources by one pod and its running containers. */
import { writePodStats } from "../convert-stats.ts";
import type { PodSandboxStatsRequest__Output } from "../generated/runtime/v1/PodSandboxStatsRequest.ts";
import type { PodSandboxStatsResponse } from "../generated/runtime/v1/PodSandboxStatsResponse.ts";
import { nonEmpty } from "../request-field.ts";
import type { UnaryRpc } from "../rpc-handler.ts";
import { WireWriter } from "../wire-writer.ts";

export const podSandboxStats: UnaryRpc<PodSandboxStatsRequest__Output, PodSandboxStatsResponse> = async (
  { engine },
  request,
) => {
  const reply = new WireWriter();
  writePodStats(reply, await engine.podStats(nonEmpty(request.pod_sandbox_id, "pod_sandbox_id")));
  return reply.finish();
};
