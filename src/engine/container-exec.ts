/** Executing a command in a running container, by its shim: with a plan of our own, or by the runtime that runs it. */
import type { Shim, ShimExec } from "../shim/shim.ts";
import { execPlan } from "./container-plan.ts";
import type { ContainerEntry } from "./container-table.ts";
import type { EngineContext } from "./engine-context.ts";
import { execExternal } from "./external-container.ts";

export interface ContainerCommand {
  args: string[];
  terminal: boolean;
  /** A way to its standard input; else it reads nothing. */
  stdin: boolean;
}

/** It is killed when its connection goes away. */
export function execInContainer(
  context: EngineContext,
  entry: ContainerEntry,
  shim: Shim,
  command: ContainerCommand,
  signal: AbortSignal,
): Promise<ShimExec> {
  if (entry.container.externalHandler !== undefined)
    return execExternal(context, entry, shim, context.containers.spec(entry), command, signal);
  const { terminal, stdin } = command;
  return shim.exec(
    { plan: execPlan(context, entry, command), terminal, stdin, killOnDisconnect: true },
    signal,
  );
}
