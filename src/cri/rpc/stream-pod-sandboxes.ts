/** StreamPodSandboxes: the list in several messages. */
import { batches } from "../batch.ts";
import { podSandboxFilter, podSandboxMessage } from "../convert-pod-sandbox.ts";
import type { StreamPodSandboxesRequest__Output } from "../generated/runtime/v1/StreamPodSandboxesRequest.ts";
import type { StreamPodSandboxesResponse } from "../generated/runtime/v1/StreamPodSandboxesResponse.ts";
import type { StreamRpc } from "../rpc-handler.ts";

export const streamPodSandboxes: StreamRpc<StreamPodSandboxesRequest__Output, StreamPodSandboxesResponse> =
  function* ({ engine }, request) {
    const sandboxes = engine.listPodSandboxes(podSandboxFilter(request.filter));
    for (const batch of batches(sandboxes, podSandboxMessage)) yield { pod_sandboxes: batch };
  };
