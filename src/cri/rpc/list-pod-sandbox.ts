/** ListPodSandbox. */
import { podSandboxFilter, podSandboxMessage } from "../convert-pod-sandbox.ts";
import type { ListPodSandboxRequest__Output } from "../generated/runtime/v1/ListPodSandboxRequest.ts";
import type { ListPodSandboxResponse } from "../generated/runtime/v1/ListPodSandboxResponse.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

export const listPodSandbox: UnaryRpc<ListPodSandboxRequest__Output, ListPodSandboxResponse> = (
  { engine },
  request,
) => ({ items: engine.listPodSandboxes(podSandboxFilter(request.filter)).map(podSandboxMessage) });
