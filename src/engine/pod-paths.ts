/** Where the live state of a pod is. Ids are our own 64 hex digits, so joining them is safe. */
import { join } from "node:path";
import type { EngineContext } from "./engine-context.ts";
import type { PodSandbox } from "./pod-sandbox.ts";

export interface PodPaths {
  directory: string;
  /** Pinned namespaces: files named net, ipc, uts. */
  namespaces: string;
  /** Mount point of the pod's /dev/shm. */
  shm: string;
  hostname: string;
  hosts: string;
  resolvConf: string;
  /** One directory for each container whose hooks need a bundle. */
  bundles: string;
}

export function podsDirectory(stateDirectory: string): string {
  return join(stateDirectory, "pods");
}

export function podPaths(stateDirectory: string, podSandboxId: string): PodPaths {
  const directory = join(podsDirectory(stateDirectory), podSandboxId);
  return {
    directory,
    namespaces: join(directory, "ns"),
    shm: join(directory, "shm"),
    hostname: join(directory, "hostname"),
    hosts: join(directory, "hosts"),
    resolvConf: join(directory, "resolv.conf"),
    bundles: join(directory, "bundles"),
  };
}

/** cgroup that a pod's containers are in: what its client named, or one of its own. */
export function podCgroupParent(
  context: Pick<EngineContext, "cgroups" | "defaultCgroupParent">,
  { id, config }: PodSandbox,
): string {
  return config.cgroupParent || podCgroupPath(context, id);
}

/** cgroup of a pod whose client named no parent. */
export function podCgroupPath(
  context: Pick<EngineContext, "cgroups" | "defaultCgroupParent">,
  podSandboxId: string,
): string {
  return context.cgroups.podPath(context.defaultCgroupParent, podSandboxId);
}
