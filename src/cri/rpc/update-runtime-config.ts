/** UpdateRuntimeConfig: its one content is the range of the node's pods. */
import type { UpdateRuntimeConfigRequest__Output } from "../generated/runtime/v1/UpdateRuntimeConfigRequest.ts";
import type { UpdateRuntimeConfigResponse } from "../generated/runtime/v1/UpdateRuntimeConfigResponse.ts";
import { text } from "../request-field.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

export const updateRuntimeConfig: UnaryRpc<
  UpdateRuntimeConfigRequest__Output,
  UpdateRuntimeConfigResponse
> = async ({ engine }, request) => {
  const podCidr = request.runtime_config?.network_config?.pod_cidr ?? "";
  await engine.setPodCidrs(text(podCidr, "runtime_config.network_config.pod_cidr"));
  return {};
};
