/** RuntimeConfig: what the kubelet must configure as we do. */
import type { RuntimeConfigRequest__Output } from "../generated/runtime/v1/RuntimeConfigRequest.ts";
import type { RuntimeConfigResponse } from "../generated/runtime/v1/RuntimeConfigResponse.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

export const runtimeConfig: UnaryRpc<RuntimeConfigRequest__Output, RuntimeConfigResponse> = ({ engine }) => ({
  linux: { cgroup_driver: engine.cgroupDriver === "systemd" ? "SYSTEMD" : "CGROUPFS" },
});
