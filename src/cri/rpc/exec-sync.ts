/** ExecSync: runs a command and answers its output. The engine bounds the output and kills what is late. */
import type { ExecSyncRequest__Output } from "../generated/runtime/v1/ExecSyncRequest.ts";
import type { ExecSyncResponse } from "../generated/runtime/v1/ExecSyncResponse.ts";
import { invalid, nonEmpty, texts, timeoutSeconds } from "../request-field.ts";
import type { UnaryRpc } from "../rpc-handler.ts";

export const execSync: UnaryRpc<ExecSyncRequest__Output, ExecSyncResponse> = async (
  { engine },
  request,
  signal,
) => {
  const id = nonEmpty(request.container_id, "container_id");
  const command = texts(request.cmd, "cmd");
  if (command.length === 0) throw invalid("cmd", "is empty");
  const timeoutMs = timeoutSeconds(request.timeout, "timeout");
  const { stdout, stderr, exitCode } = await engine.execSync(id, command, timeoutMs, signal);
  return { stdout, stderr, exit_code: exitCode };
};
