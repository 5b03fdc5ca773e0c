/** RemovePodSandbox: removes a sandbox with its containers. Unknown ids are no error. */
import type { RemovePodSandboxRequest__Output } from "../generated/runtime/v1/RemovePodSandboxRequest.ts";
import type { RemovePodSandboxResponse } from "../generated/runtime/v1/RemovePodSandboxResponse.ts";
import { nonEmpty } from "../request-field.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

export const removePodSandbox: UnaryRpc<RemovePodSandboxRequest__Output, RemovePodSandboxResponse> = async (
  { engine },
  request,
  signal,
) => {
  await engine.removePodSandbox(nonEmpty(request.pod_sandbox_id, "pod_sandbox_id"), signal);
  return {};
};
