/** `pause` and `resume`: freezes all processes of a container, and lets them go on. */
import { GantryError } from "../../base/errors.ts";
import { createCgroupManager } from "../cgroup-manager.ts";
import type { CommandContext } from "./command-context.ts";
import { declareCommand } from "./command-declaration.ts";
import { containerStatus, loadContainer, withContainerLock } from "./container-state.ts";

export const pauseCommand = declareCommand({
  arguments: ["id"],
  options: {},
  run: (context, [id]) => pause(context, id),
});

export const resumeCommand = declareCommand({
  arguments: ["id"],
  options: {},
  run: (context, [id]) => resume(context, id),
});

/** @throws GantryError failed-precondition unless it is created or running. */
export async function pause(context: CommandContext, id: string): Promise<void> {
  await withContainerLock(context.root, id, async () => {
    const container = loadContainer(context.root, id);
    const status = containerStatus(context.root, container);
    if (status !== "running" && status !== "created")
      throw new GantryError("failed-precondition", `container not running: container "${id}" is ${status}`);
    await createCgroupManager().load(container.cgroupPath).freeze();
  });
}

/** @throws GantryError failed-precondition unless it is paused. */
export async function resume(context: CommandContext, id: string): Promise<void> {
  await withContainerLock(context.root, id, async () => {
    const container = loadContainer(context.root, id);
    const status = containerStatus(context.root, container);
    if (status !== "paused")
      throw new GantryError("failed-precondition", `container not paused: container "${id}" is ${status}`);
    await createCgroupManager().load(container.cgroupPath).thaw();
  });
}
