/** ListPodSandboxMetrics: metrics of ready pods, read for this reply. */
import { writePodMetrics } from "../convert-metrics.ts";
import type { ListPodSandboxMetricsRequest__Output } from "../generated/runtime/v1/ListPodSandboxMetricsRequest.ts";
import type { ListPodSandboxMetricsResponse } from "../generated/runtime/v1/ListPodSandboxMetricsResponse.ts";
import type { UnaryRpc } from "../rpc-handler.ts";
import { WireWriter } from "../wire-writer.ts";

/** Some megabytes on a full node, which are asked for at once where growing would ask for as many again. */
let usualBytes = 4096;
const SPARE_BYTES = 64 * 1024;

export const listPodSandboxMetrics: UnaryRpc<
  ListPodSandboxMetricsRequest__Output,
  ListPodSandboxMetricsResponse
> = async ({ engine }, _request, signal) => {
  const reply = new WireWriter(usualBytes);
  for await (const pods of engine.listPodMeasures(signal))
    for (const pod of pods) writePodMetrics(reply, pod);
  const message = reply.finish();
  usualBytes = message.bytes.length + SPARE_BYTES;
  return message;
};
