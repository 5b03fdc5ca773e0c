/** Version: who we are. */
import type { VersionRequest__Output } from "../generated/runtime/v1/VersionRequest.ts";
import type { VersionResponse } from "../generated/runtime/v1/VersionResponse.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

/** Of the kubelet's runtime API. It has been this one since before the CRI had versions, and kubelets check it. */
const KUBE_RUNTIME_API_VERSION = "0.1.0";

export const version: UnaryRpc<VersionRequest__Output, VersionResponse> = (context) => ({
  version: KUBE_RUNTIME_API_VERSION,
  runtime_name: "gantry",
  runtime_version: context.version,
  runtime_api_version: "v1",
});
