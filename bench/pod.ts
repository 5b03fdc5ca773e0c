/** The pods that the benchmarks run: one busybox container that sleeps. */
import { randomBytes } from "node:crypto";
import type { CriClient } from "../src/cri/client.ts";

export const BENCH_IMAGE = "registry.k8s.io/e2e-test-images/busybox:1.29-2";

export interface BenchPod {
  podSandboxId: string;
  containerId: string;
  sandboxConfig: object;
}

/** "host": the host's network; "pod": a network of its own. */
export type BenchNetwork = "host" | "pod";

export async function startPod(
  client: CriClient,
  network: BenchNetwork,
  cgroupParent: string,
): Promise<BenchPod> {
  const sandboxConfig = podConfig(network, cgroupParent);
  const { pod_sandbox_id: podSandboxId } = await client.RunPodSandbox({
    config: sandboxConfig,
  });
  const { container_id: containerId } = await client.CreateContainer({
    pod_sandbox_id: podSandboxId,
    config: containerConfig(network),
    sandbox_config: sandboxConfig,
  });
  await client.StartContainer({ container_id: containerId });
  return { podSandboxId, containerId, sandboxConfig };
}

export async function removePod(client: CriClient, pod: BenchPod): Promise<void> {
  await client.StopPodSandbox({ pod_sandbox_id: pod.podSandboxId });
  await client.RemovePodSandbox({ pod_sandbox_id: pod.podSandboxId });
}

function podConfig(network: BenchNetwork, cgroupParent: string): object {
  const name = `bench-${randomBytes(6).toString("hex")}`;
  return {
    metadata: { name, uid: name, namespace: "bench", attempt: 0 },
    hostname: network === "pod" ? name : "",
    linux: {
      cgroup_parent: cgroupParent,
      security_context: { namespace_options: namespaceOptions(network) },
    },
  };
}

/** As the kubelet asks for ordinary pods: a PID namespace for each container. */
function namespaceOptions(network: BenchNetwork): object {
  return { network: network === "host" ? "NODE" : "POD", pid: "CONTAINER", ipc: "POD" };
}

function containerConfig(network: BenchNetwork): object {
  return {
    metadata: { name: "main", attempt: 0 },
    image: { image: BENCH_IMAGE },
    command: ["sleep", "1000000"],
    linux: {
      resources: { cpu_shares: 512, memory_limit_in_bytes: 256 * 1024 * 1024 },
      security_context: {
        namespace_options: namespaceOptions(network),
        seccomp: { profile_type: "RuntimeDefault" },
      },
    },
  };
}
