/** ReopenContainerLog: after log rotation. */
import type { ReopenContainerLogRequest__Output } from "../generated/runtime/v1/ReopenContainerLogRequest.ts";
import type { ReopenContainerLogResponse } from "../generated/runtime/v1/ReopenContainerLogResponse.ts";
import { nonEmpty } from "../request-field.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

export const reopenContainerLog: UnaryRpc<
  ReopenContainerLogRequest__Output,
  ReopenContainerLogResponse
> = async ({ engine }, request) => {
  await engine.reopenContainerLog(nonEmpty(request.container_id, "container_id"));
  return {};
};
