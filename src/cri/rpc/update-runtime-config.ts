/** UpdateRuntimeConfig: accepted and without effect. Its one content, the pod CIDR, is configured in the network. */
import type { UpdateRuntimeConfigRequest__Output } from "../generated/runtime/v1/UpdateRuntimeConfigRequest.ts";
import type { UpdateRuntimeConfigResponse } from "../generated/runtime/v1/UpdateRuntimeConfigResponse.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

export const updateRuntimeConfig: UnaryRpc<
  UpdateRuntimeConfigRequest__Output,
  UpdateRuntimeConfigResponse
> = () => ({});
