/**
 * Exec: runs a command in a container, with its streams at a client's. It lives as long as its client: when the client
 * goes, nobody could end it any more.
 */
import { GantryError, wrapError } from "../base/errors.ts";
import { execInContainer } from "./container-exec.ts";
import type { EngineContext } from "./engine-context.ts";
import type { ExecOptions, ProcessSession } from "./engine.ts";

export async function exec(
  context: EngineContext,
  id: string,
  { command, terminal, stdin }: ExecOptions,
  signal: AbortSignal,
): Promise<ProcessSession> {
  if (command.length === 0) throw new GantryError("invalid-argument", "exec: the command is empty");
  const { entry, shim } = context.containers.runningShim(id);
  try {
    return await execInContainer(context, entry, shim, { args: command, terminal, stdin }, signal);
  } catch (error) {
    throw wrapError(`exec in container "${entry.container.id}"`, error);
  }
}
