/** What a pod asks of its network, derived from its record so that setup and teardown ask the same. */
import type { PodNetworkRequest } from "../network/pod-network.ts";
import type { EngineContext } from "./engine-context.ts";
import { podPaths } from "./pod-paths.ts";
import type { PodSandbox } from "./pod-sandbox.ts";

/** Undefined for a pod on the host's network. */
export function podNetworkRequest(
  context: EngineContext,
  sandbox: PodSandbox,
): PodNetworkRequest | undefined {
  const { config } = sandbox;
  if (config.namespaces.network === "node") return undefined;
  return {
    podSandboxId: sandbox.id,
    name: config.metadata.name,
    namespace: config.metadata.namespace,
    uid: config.metadata.uid,
    netnsPath: `${podPaths(context.stateDirectory, sandbox.id).namespaces}/net`,
    portMappings: config.portMappings.filter((mapping) => mapping.hostPort !== 0),
    annotations: config.annotations,
    cgroupParent: config.cgroupParent,
    dns: config.dns ?? { servers: [], searches: [], options: [] },
  };
}
