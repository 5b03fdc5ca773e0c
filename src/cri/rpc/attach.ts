/** Attach: allows a client to join the streams of a running container, and answers the URL where it may come for it. */
import type { AttachRequest__Output } from "../generated/runtime/v1/AttachRequest.ts";
import type { AttachResponse } from "../generated/runtime/v1/AttachResponse.ts";
import { invalid } from "../request-field.ts";
import type { UnaryRpc } from "../rpc-handler.ts";
import { attachableContainer, checkStreams } from "../stream-request.ts";

export const attach: UnaryRpc<AttachRequest__Output, AttachResponse> = async (
  { engine, streaming },
  request,
) => {
  const streams = checkStreams(request);
  const { id, config } = attachableContainer(engine, request.container_id);
  if (streams.tty !== config.tty)
    throw invalid("tty", `is ${streams.tty}, and the container was created with ${config.tty}`);
  return { url: await streaming.url({ kind: "attach", containerId: id, ...streams }) };
};
