/** RunPodSandbox: makes and starts a pod sandbox. */
import { podSandboxConfig } from "../convert-pod-sandbox.ts";
import type { RunPodSandboxRequest__Output } from "../generated/runtime/v1/RunPodSandboxRequest.ts";
import type { RunPodSandboxResponse } from "../generated/runtime/v1/RunPodSandboxResponse.ts";
import { required, text } from "../request-field.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

export const runPodSandbox: UnaryRpc<RunPodSandboxRequest__Output, RunPodSandboxResponse> = async (
  { engine },
  request,
  signal,
) => {
  const config = podSandboxConfig(required(request.config, "config"), "config");
  const runtimeHandler = text(request.runtime_handler, "runtime_handler");
  return { pod_sandbox_id: await engine.runPodSandbox(config, runtimeHandler, signal) };
};
