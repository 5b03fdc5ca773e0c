/** `start`: lets a created container execute its command. */
import { GantryError } from "../../base/errors.ts";
import type { CommandContext } from "./command-context.ts";
import { declareCommand } from "./command-declaration.ts";
import {
  containerState,
  containerStatus,
  fifoPath,
  loadContainer,
  type StoredContainer,
  withContainerLock,
} from "./container-state.ts";
import { deleteContainer } from "./delete.ts";
import { runPoststartHooks } from "./hooks.ts";
import type { NotifySocket } from "./notify-socket.ts";
import { openGate } from "./start-gate.ts";

export const startCommand = declareCommand({
  arguments: ["id"],
  options: {},
  run: async (context, [id]) => await (await start(context, id)).ready(true),
});

export interface Started {
  /**
   * With a service manager (NOTIFY_SOCKET): resolves when it has been told that the process is ready, or the process has
   * ended; else at once. @param tellPid the process is the service, and not this command.
   */
  ready(tellPid: boolean): Promise<void>;
}

/**
 * A failing startContainer or poststart hook is an error and the end of the container, with what `delete` does
 * (runtime.md, "Lifecycle").
 */
export async function start(context: CommandContext, id: string): Promise<Started> {
  const { root } = context;
  const { failure, notify, pid } = await withContainerLock(root, id, async () => {
    const container = loadContainer(root, id);
    switch (containerStatus(root, container)) {
      case "stopped":
        throw new GantryError("failed-precondition", "cannot start a container that has stopped");
      case "paused":
        throw new GantryError("failed-precondition", "cannot start a container in the paused state");
      case "running":
        throw new GantryError("failed-precondition", "cannot start an already running container");
      case "creating":
      case "created":
        break;
    }
    // The specification calls this an error, and its validation suite calls that error a fault.
    if (!container.spec.process) context.log.warn(`container "${id}" has no process to start: it ends`);
    const notify = await notifySocket(root, id);
    return { failure: await startProcess(root, container), notify, pid: container.pid };
  });
  if (failure === undefined)
    return { ready: async (tellPid) => await notify?.forward(pid, tellPid, context.log) };
  await deleteContainer(context, id, true);
  throw failure;
}

/** Before the process begins, which may be ready at once. */
async function notifySocket(root: string, id: string): Promise<NotifySocket | undefined> {
  const manager = process.env["NOTIFY_SOCKET"];
  if (!manager) return undefined;
  const { NotifySocket: socket } = await import("./notify-socket.ts");
  return socket.listen(root, id, manager);
}

/** Resolves to the failure of a hook, or of the command where hooks are to follow it. */
async function startProcess(root: string, container: StoredContainer): Promise<Error | undefined> {
  const { startContainer = [], poststart = [] } = container.spec.hooks ?? {};
  const wait = startContainer.length + poststart.length > 0;
  const failure = await openGate(fifoPath(root, container.id), wait);
  if (failure) return failure;
  // It has run, though its command may have ended by now.
  const state = { ...containerState(root, container), status: "running", pid: container.pid };
  try {
    await runPoststartHooks(container.spec, state);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}
