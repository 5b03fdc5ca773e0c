/** `start`: lets a created container execute its command. */
import { closeSync, constants, openSync, rmSync, writeSync } from "node:fs";
import { errnoCode, GantryError } from "../../base/errors.ts";
import type { CommandContext } from "./command-context.ts";
import { declareCommand } from "./command-declaration.ts";
import {
  type ContainerState,
  containerState,
  containerStatus,
  fifoPath,
  loadContainer,
  withContainerLock,
} from "./container-state.ts";
import { runHooks } from "./hooks.ts";

export const startCommand = declareCommand({
  arguments: ["id"],
  options: {},
  run: (context, [id]) => start(context, id),
});

export async function start(context: CommandContext, id: string): Promise<void> {
  const { root } = context;
  await withContainerLock(root, id, async () => {
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
    openGate(fifoPath(root, id));
    try {
      // It has run, though its command may have ended by now.
      const state: ContainerState = {
        ...containerState(root, container),
        status: "running",
        pid: container.pid,
      };
      runHooks("poststart", container.spec.hooks?.poststart, state);
    } catch (error) {
      // The specification wants the failure logged and the container left running (runtime.md, "Lifecycle").
      context.log.warn(error instanceof Error ? error.message : String(error));
    }
  });
}

function openGate(fifo: string): void {
  let fd: number;
  try {
    fd = openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (errnoCode(error) === "ENXIO")
      throw new GantryError("failed-precondition", "cannot start a container that has stopped");
    throw error;
  }
  try {
    writeSync(fd, "\n");
    rmSync(fifo);
  } finally {
    closeSync(fd);
  }
}
