/** Facts for people who debug: what the verbose forms of the status calls add. JSON-encodable, without secrets. */
import type { EngineContext } from "./engine-context.ts";
import { podPaths } from "./pod-paths.ts";

export function verbosePodSandbox(context: EngineContext, id: string): Record<string, unknown> {
  const { sandbox, networkState, networkReleased } = context.pods.get(id);
  return {
    pid: sandbox.pausePid ?? 0,
    paths: podPaths(context.stateDirectory, sandbox.id),
    runtimeHandler: sandbox.runtimeHandler,
    network: { name: context.network.name, state: networkState, released: networkReleased },
    overhead: sandbox.overhead ?? sandbox.config.overhead,
    resources: sandbox.resources ?? sandbox.config.resources,
    config: sandbox.config,
  };
}

export function verboseContainer(context: EngineContext, id: string): Record<string, unknown> {
  const entry = context.containers.get(id);
  const { container } = entry;
  return {
    sandboxID: container.podSandboxId,
    pid: container.pid ?? 0,
    cgroupPath: context.cgroups.directoryPath(entry.cgroupPath),
    snapshotter: context.snapshotter.name,
    snapshotKey: container.id,
    rootfs: context.snapshotter.mount(container.id),
    config: container.config,
    runtimeSpec: context.containers.spec(entry),
  };
}

export function verboseStatus(context: EngineContext): Record<string, unknown> {
  return {
    stateDirectory: context.stateDirectory,
    snapshotter: { name: context.snapshotter.name, directory: context.snapshotter.directory },
    network: { name: context.network.name, ...context.network.status() },
    ...context.network.describe?.(),
    cgroups: { version: context.cgroups.version, driver: context.cgroups.driver },
    pods: [...context.pods.all()].length,
    containers: [...context.containers.all()].length,
  };
}
