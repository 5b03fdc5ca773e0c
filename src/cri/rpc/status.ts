/** Status: health, and what the runtime and its handlers can do. */
import type { EngineCondition } from "../../engine/engine.ts";
import type { StatusRequest__Output } from "../generated/runtime/v1/StatusRequest.ts";
import type { StatusResponse } from "../generated/runtime/v1/StatusResponse.ts";
import type { RuntimeCondition } from "../generated/runtime/v1/RuntimeCondition.ts";
import type { UnaryRpc } from "../rpc-handler.ts";
import { info } from "../verbose-info.ts";

export const status: UnaryRpc<StatusRequest__Output, StatusResponse> = ({ engine }, request) => {
  const { runtime, network } = engine.status();
  return {
    status: { conditions: [condition("RuntimeReady", runtime), condition("NetworkReady", network)] },
    runtime_handlers: engine.runtimeHandlers().map((handler) => ({
      name: handler.name,
      features: {
        recursive_read_only_mounts: handler.recursiveReadOnlyMounts,
        user_namespaces: handler.userNamespaces,
      },
    })),
    features: {
      supplemental_groups_policy: true,
      user_namespaces_host_network: engine.runtimeHandlers().some((handler) => handler.userNamespaces),
      mount_options: true,
    },
    ...(request.verbose ? { info: info(engine.verboseStatus()) } : {}),
  };
};

function condition(type: string, { ok, reason, message }: EngineCondition): RuntimeCondition {
  return { type, status: ok, reason, message };
}
