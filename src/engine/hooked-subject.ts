/**
 * What the lifecycle hooks are shown of a pod or container, and the telling of an exit. A leaf, so that every step can
 * use it; the steps that may be changed or refused are in hooked-steps.ts.
 */
import type { Spec } from "../oci/runtime-spec.ts";
import type { Container } from "./container.ts";
import type { ContainerEntry } from "./container-table.ts";
import type { EngineContext } from "./engine-context.ts";
import type { HookedContainer, HookedPod } from "./lifecycle-hooks.ts";
import { podCgroupParent, podPaths } from "./pod-paths.ts";
import type { PodSandbox } from "./pod-sandbox.ts";

export function hookedPod(context: EngineContext, sandbox: PodSandbox): HookedPod {
  const { namespaces } = sandbox.config;
  const directory = podPaths(context.stateDirectory, sandbox.id).namespaces;
  const types = [
    ...(namespaces.network === "node" ? [] : [["network", "net"] as const, ["uts", "uts"] as const]),
    ...(namespaces.ipc === "node" ? [] : [["ipc", "ipc"] as const]),
  ];
  return {
    sandbox,
    namespaces: types.map(([type, file]) => ({ type, path: `${directory}/${file}` })),
    cgroupParent: podCgroupParent(context, sandbox),
  };
}

/** @param spec of a container that is not in the store yet. */
export function hookedContainer(context: EngineContext, entry: ContainerEntry, spec?: Spec): HookedContainer {
  const { sandbox } = context.pods.get(entry.container.podSandboxId);
  return {
    pod: hookedPod(context, sandbox),
    container: taken(entry),
    spec: () => spec ?? context.containers.spec(entry),
  };
}

/** Who has agreed to its start takes it for one that runs. */
function taken({ container, starting }: ContainerEntry): Container {
  return starting && container.state === "created" ? { ...container, state: "running" } : container;
}

/** The key that is held while the hooks are asked for a start, and until that has been made. */
export function startKey({ container }: ContainerEntry): string {
  return `container-start:${container.id}`;
}

/** Runs the work while nothing is done to the container; a start under way is waited for, with those who are asked. */
export function whileAtRest(
  context: EngineContext,
  entry: ContainerEntry,
  signal: AbortSignal,
  work: () => Promise<void>,
): Promise<void> {
  const { mutex } = context;
  const run = (): Promise<void> => mutex.run(`container:${entry.container.id}`, signal, work);
  return context.hooks ? mutex.run(startKey(entry), signal, run) : run();
}

/** Tells of an exit that has been recorded. */
export function tellStopped(context: EngineContext, entry: ContainerEntry): void {
  if (!context.hooks || !context.pods.find(entry.container.podSandboxId)) return;
  entry.stopTold = context.hooks.stopContainer(hookedContainer(context, entry));
}
