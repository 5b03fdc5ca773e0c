/** StreamPodSandboxMetrics: the list in several messages, some hundred KiB each. */
import { writePodMetrics } from "../convert-metrics.ts";
import type { StreamPodSandboxMetricsRequest__Output } from "../generated/runtime/v1/StreamPodSandboxMetricsRequest.ts";
import type { StreamPodSandboxMetricsResponse } from "../generated/runtime/v1/StreamPodSandboxMetricsResponse.ts";
import type { StreamRpc } from "../rpc-handler.ts";
import { WireWriter } from "../wire-writer.ts";

export const streamPodSandboxMetrics: StreamRpc<
  StreamPodSandboxMetricsRequest__Output,
  StreamPodSandboxMetricsResponse
> = async function* ({ engine }, _request, signal) {
  for await (const pods of engine.listPodMeasures(signal)) {
    const message = new WireWriter();
    for (const pod of pods) writePodMetrics(message, pod);
    yield message.finish();
  }
};
