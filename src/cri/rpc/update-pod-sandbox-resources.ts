/** UpdatePodSandboxResources: remembers what the client has set for the pod. What is absent stays as it was. */
import { linuxResources } from "../convert-resources.ts";
import type { UpdatePodSandboxResourcesRequest__Output } from "../generated/runtime/v1/UpdatePodSandboxResourcesRequest.ts";
import type { UpdatePodSandboxResourcesResponse } from "../generated/runtime/v1/UpdatePodSandboxResourcesResponse.ts";
import { nonEmpty } from "../request-field.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

export const updatePodSandboxResources: UnaryRpc<
  UpdatePodSandboxResourcesRequest__Output,
  UpdatePodSandboxResourcesResponse
> = async ({ engine }, { pod_sandbox_id, overhead, resources }, signal) => {
  const id = nonEmpty(pod_sandbox_id, "pod_sandbox_id");
  const change = {
    ...(overhead && { overhead: linuxResources(overhead, "overhead") }),
    ...(resources && { resources: linuxResources(resources, "resources") }),
  };
  await engine.updatePodSandboxResources(id, change, signal);
  return {};
};
