/**
 * What the lifecycle hooks are shown of a pod or container, and the telling of an exit. A leaf, so that every step can
 * use it; the steps that may be changed or refused are in hooked-steps.ts.
 */
import type { Spec } from "../oci/runtime-spec.ts";
import type { Container } from "./container.ts";
import type { ContainerEntry } from "./container-table.ts";
import type { EngineContext } from "./engine-context.ts";
import type { HookedContainer, HookedPod } from "./lifecycle-hooks.ts";
import { podCgroupPath, podPaths } from "./pod-paths.ts";
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
    cgroupParent: sandbox.config.cgroupParent || podCgroupPath(context, sandbox.id),
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

/** Tells of an exit that has been recorded. */
export function tellStopped(context: EngineContext, entry: ContainerEntry): void {
  if (!context.hooks || !context.pods.find(entry.container.podSandboxId)) return;
  entry.stopTold = context.hooks.stopContainer(hookedContainer(context, entry));
}
