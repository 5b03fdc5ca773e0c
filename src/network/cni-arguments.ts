/**
 * What a pod hands to its network's plugins: CNI_ARGS, which all of them get, and the capability arguments, of which
 * each gets those that its configuration asks for (CNI conventions).
 *
 *   portMappings  bandwidth  dns  ipRanges  cgroupPath  io.kubernetes.cri.pod-annotations
 *
 * mac, ips, infinibandGUID and deviceID are never given: only annotations could tell them, and those are data.
 */
import { GantryError } from "../base/errors.ts";
import { podBandwidth } from "./cni-bandwidth.ts";
import type { JsonObject } from "./json-value.ts";
import type { PodNetworkRequest } from "./pod-network.ts";

/** @throws GantryError invalid-argument for a name that would be read as another argument. */
export function cniArgs(request: PodNetworkRequest): [string, string][] {
  const { namespace, name, podSandboxId, uid } = request;
  const args: [string, string][] = [
    ["IgnoreUnknown", "1"],
    ["K8S_POD_NAMESPACE", namespace],
    ["K8S_POD_NAME", name],
    ["K8S_POD_INFRA_CONTAINER_ID", podSandboxId],
    ["K8S_POD_UID", uid],
  ];
  for (const [key, value] of args) {
    if (/[;=\0]/.test(value))
      throw new GantryError(
        "invalid-argument",
        `${key} ${JSON.stringify(value)}: CNI plugins cannot be given a name with ";" or "=" in it`,
      );
  }
  return args;
}

/** @param podCidrs of the node, as the kubelet told them. @throws GantryError invalid-argument. */
export function capabilityArgs(request: PodNetworkRequest, podCidrs: readonly string[]): JsonObject {
  const { portMappings, annotations, dns, cgroupParent } = request;
  const bandwidth = podBandwidth(annotations);
  const anyDns = [dns.servers, dns.searches, dns.options].some((list) => list.length > 0);
  return {
    ...(portMappings.length > 0 && {
      portMappings: portMappings.map(({ hostPort, containerPort, protocol, hostIp }) => ({
        hostPort,
        containerPort,
        protocol,
        hostIP: hostIp,
      })),
    }),
    ...(bandwidth && { bandwidth }),
    ...(anyDns && { dns }),
    ...(podCidrs.length > 0 && { ipRanges: podCidrs.map((subnet) => [{ subnet }]) }),
    ...(cgroupParent !== "" && { cgroupPath: cgroupParent }),
    "io.kubernetes.cri.pod-annotations": annotations,
  };
}
