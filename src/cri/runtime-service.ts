/** The table of RuntimeService: every RPC, served or not. */
import type { RuntimeServiceHandlers } from "./generated/runtime/v1/RuntimeService.ts";
import { UNIMPLEMENTED, type RpcTable } from "./rpc-handler.ts";
import { attach } from "./rpc/attach.ts";
import { containerStats } from "./rpc/container-stats.ts";
import { containerStatus } from "./rpc/container-status.ts";
import { createContainer } from "./rpc/create-container.ts";
import { exec } from "./rpc/exec.ts";
import { execSync } from "./rpc/exec-sync.ts";
import { getContainerEvents } from "./rpc/get-container-events.ts";
import { listContainerStats } from "./rpc/list-container-stats.ts";
import { listContainers } from "./rpc/list-containers.ts";
import { listMetricDescriptors } from "./rpc/list-metric-descriptors.ts";
import { listPodSandboxMetrics } from "./rpc/list-pod-sandbox-metrics.ts";
import { listPodSandboxStats } from "./rpc/list-pod-sandbox-stats.ts";
import { listPodSandbox } from "./rpc/list-pod-sandbox.ts";
import { podSandboxStats } from "./rpc/pod-sandbox-stats.ts";
import { podSandboxStatus } from "./rpc/pod-sandbox-status.ts";
import { portForward } from "./rpc/port-forward.ts";
import { removeContainer } from "./rpc/remove-container.ts";
import { removePodSandbox } from "./rpc/remove-pod-sandbox.ts";
import { reopenContainerLog } from "./rpc/reopen-container-log.ts";
import { runPodSandbox } from "./rpc/run-pod-sandbox.ts";
import { runtimeConfig } from "./rpc/runtime-config.ts";
import { startContainer } from "./rpc/start-container.ts";
import { status } from "./rpc/status.ts";
import { stopContainer } from "./rpc/stop-container.ts";
import { stopPodSandbox } from "./rpc/stop-pod-sandbox.ts";
import { streamContainerStats } from "./rpc/stream-container-stats.ts";
import { streamContainers } from "./rpc/stream-containers.ts";
import { streamPodSandboxMetrics } from "./rpc/stream-pod-sandbox-metrics.ts";
import { streamPodSandboxStats } from "./rpc/stream-pod-sandbox-stats.ts";
import { streamPodSandboxes } from "./rpc/stream-pod-sandboxes.ts";
import { updateContainerResources } from "./rpc/update-container-resources.ts";
import { updatePodSandboxResources } from "./rpc/update-pod-sandbox-resources.ts";
import { updateRuntimeConfig } from "./rpc/update-runtime-config.ts";
import { version } from "./rpc/version.ts";

export const runtimeService = {
  Version: { unary: version },
  RunPodSandbox: { unary: runPodSandbox },
  StopPodSandbox: { unary: stopPodSandbox },
  RemovePodSandbox: { unary: removePodSandbox },
  PodSandboxStatus: { unary: podSandboxStatus },
  ListPodSandbox: { unary: listPodSandbox },
  StreamPodSandboxes: { stream: streamPodSandboxes },
  CreateContainer: { unary: createContainer },
  StartContainer: { unary: startContainer },
  StopContainer: { unary: stopContainer },
  RemoveContainer: { unary: removeContainer },
  ListContainers: { unary: listContainers },
  StreamContainers: { stream: streamContainers },
  ContainerStatus: { unary: containerStatus },
  UpdateContainerResources: { unary: updateContainerResources },
  ReopenContainerLog: { unary: reopenContainerLog },
  ExecSync: { unary: execSync },
  Exec: { unary: exec },
  Attach: { unary: attach },
  PortForward: { unary: portForward },
  ContainerStats: { unary: containerStats },
  ListContainerStats: { unary: listContainerStats },
  StreamContainerStats: { stream: streamContainerStats },
  PodSandboxStats: { unary: podSandboxStats },
  ListPodSandboxStats: { unary: listPodSandboxStats },
  StreamPodSandboxStats: { stream: streamPodSandboxStats },
  UpdateRuntimeConfig: { unary: updateRuntimeConfig },
  Status: { unary: status },
  CheckpointContainer: UNIMPLEMENTED,
  CheckpointPod: UNIMPLEMENTED,
  RestorePod: UNIMPLEMENTED,
  GetContainerEvents: { stream: getContainerEvents, endless: true },
  ListMetricDescriptors: { unary: listMetricDescriptors },
  ListPodSandboxMetrics: { unary: listPodSandboxMetrics },
  StreamPodSandboxMetrics: { stream: streamPodSandboxMetrics },
  RuntimeConfig: { unary: runtimeConfig },
  UpdatePodSandboxResources: { unary: updatePodSandboxResources },
} as const satisfies RpcTable<RuntimeServiceHandlers>;
