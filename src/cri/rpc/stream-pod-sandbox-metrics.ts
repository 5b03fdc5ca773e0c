/** StreamPodSandboxMetrics: the list in several messages, some hundred KiB each. */
import { podMetricsBytes } from "../convert-metrics.ts";
import type { StreamPodSandboxMetricsRequest__Output } from "../generated/runtime/v1/StreamPodSandboxMetricsRequest.ts";
import type { StreamPodSandboxMetricsResponse } from "../generated/runtime/v1/StreamPodSandboxMetricsResponse.ts";
import { EncodedMessage } from "../protocol.ts";
import type { StreamRpc } from "../rpc-handler.ts";

export const streamPodSandboxMetrics: StreamRpc<
  StreamPodSandboxMetricsRequest__Output,
  StreamPodSandboxMetricsResponse
> = async function* ({ engine }, _request, signal) {
  for await (const pods of engine.listPodMeasures(signal)) yield new EncodedMessage(podMetricsBytes(pods));
};
