/** StopPodSandbox: kills its containers and gives its network back. Unknown ids are no error. */
import type { StopPodSandboxRequest__Output } from "../generated/runtime/v1/StopPodSandboxRequest.ts";
import type { StopPodSandboxResponse } from "../generated/runtime/v1/StopPodSandboxResponse.ts";
import { nonEmpty } from "../request-field.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

export const stopPodSandbox: UnaryRpc<StopPodSandboxRequest__Output, StopPodSandboxResponse> = async (
  { engine },
  request,
  signal,
) => {
  await engine.stopPodSandbox(nonEmpty(request.pod_sandbox_id, "pod_sandbox_id"), signal);
  return {};
};
