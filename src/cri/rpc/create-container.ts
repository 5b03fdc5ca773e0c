/** CreateContainer: makes a container without running it. The sandbox is as it was made: its repeated configuration is not read. */
import { containerConfig } from "../convert-container.ts";
import type { CreateContainerRequest__Output } from "../generated/runtime/v1/CreateContainerRequest.ts";
import type { CreateContainerResponse } from "../generated/runtime/v1/CreateContainerResponse.ts";
import { nonEmpty, required } from "../request-field.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

export const createContainer: UnaryRpc<CreateContainerRequest__Output, CreateContainerResponse> = async (
  { engine },
  request,
  signal,
) => {
  const podSandboxId = nonEmpty(request.pod_sandbox_id, "pod_sandbox_id");
  const config = containerConfig(required(request.config, "config"), "config");
  return { container_id: await engine.createContainer(podSandboxId, config, signal) };
};
