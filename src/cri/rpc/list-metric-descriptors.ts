/** ListMetricDescriptors: what ListPodSandboxMetrics may return. */
import { METRIC_DESCRIPTORS } from "../convert-metrics.ts";
import type { ListMetricDescriptorsRequest__Output } from "../generated/runtime/v1/ListMetricDescriptorsRequest.ts";
import type { ListMetricDescriptorsResponse } from "../generated/runtime/v1/ListMetricDescriptorsResponse.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

export const listMetricDescriptors: UnaryRpc<
  ListMetricDescriptorsRequest__Output,
  ListMetricDescriptorsResponse
> = () => ({ descriptors: [...METRIC_DESCRIPTORS] });
