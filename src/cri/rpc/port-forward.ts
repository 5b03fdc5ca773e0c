/** PortForward: allows a client to connect to ports inside a pod, and answers the URL where it may come for it. */
import { GantryError } from "../../base/errors.ts";
import type { PortForwardRequest__Output } from "../generated/runtime/v1/PortForwardRequest.ts";
import type { PortForwardResponse } from "../generated/runtime/v1/PortForwardResponse.ts";
import { integer, nonEmpty } from "../request-field.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

export const portForward: UnaryRpc<PortForwardRequest__Output, PortForwardResponse> = async (
  { engine, streaming },
  request,
) => {
  const ports = request.port.map((port, index) => integer(port, `port[${index}]`, 1, 65_535));
  const { id, state } = engine.podSandbox(nonEmpty(request.pod_sandbox_id, "pod_sandbox_id"));
  if (state !== "ready") throw new GantryError("failed-precondition", `pod sandbox "${id}" is not ready`);
  return { url: await streaming.url({ kind: "portforward", podSandboxId: id, ports }) };
};
