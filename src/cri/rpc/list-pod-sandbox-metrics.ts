/** ListPodSandboxMetrics: metrics of all ready pods, read for this reply. */
import { podMetricsBytes } from "../convert-metrics.ts";
import type { ListPodSandboxMetricsRequest__Output } from "../generated/runtime/v1/ListPodSandboxMetricsRequest.ts";
import type { ListPodSandboxMetricsResponse } from "../generated/runtime/v1/ListPodSandboxMetricsResponse.ts";
import { EncodedMessage } from "../protocol.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

export const listPodSandboxMetrics: UnaryRpc<
  ListPodSandboxMetricsRequest__Output,
  ListPodSandboxMetricsResponse
> = async ({ engine }, _request, signal) => {
  const parts: Buffer[] = [];
  for await (const pods of engine.listPodMeasures(signal)) parts.push(podMetricsBytes(pods));
  return new EncodedMessage(Buffer.concat(parts));
};
