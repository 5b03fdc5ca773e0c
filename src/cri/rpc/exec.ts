/** Exec: allows a client to run a command in a container, and answers the URL where it may come for it. */
import type { ExecRequest__Output } from "../generated/runtime/v1/ExecRequest.ts";
import type { ExecResponse } from "../generated/runtime/v1/ExecResponse.ts";
import { invalid, texts } from "../request-field.ts";
import type { UnaryRpc } from "../rpc-handler.ts";
import { attachableContainer, checkStreams } from "../stream-request.ts";

export const exec: UnaryRpc<ExecRequest__Output, ExecResponse> = async ({ engine, streaming }, request) => {
  const command = texts(request.cmd, "cmd");
  if (command.length === 0) throw invalid("cmd", "is empty");
  const streams = checkStreams(request);
  const { id } = attachableContainer(engine, request.container_id);
  return { url: await streaming.url({ kind: "exec", containerId: id, command, ...streams }) };
};
