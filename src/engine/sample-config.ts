/** Small configurations that the engine takes, for tests: each may be given more fields. */
import { type ContainerConfig, NO_SECURITY } from "./container.ts";
import type { PodSandboxConfig } from "./pod-sandbox.ts";

export function podConfig(more: Partial<PodSandboxConfig> = {}): PodSandboxConfig {
  return {
    metadata: { name: "p", uid: "u", namespace: "n", attempt: 0 },
    hostname: "host",
    logDirectory: "",
    portMappings: [],
    labels: { app: "x" },
    annotations: {},
    cgroupParent: "",
    sysctls: {},
    namespaces: { network: "pod", pid: "container", ipc: "pod", targetId: "" },
    privileged: false,
    readonlyRootfs: false,
    ...more,
  };
}

export function containerConfig(more: Partial<ContainerConfig> = {}): ContainerConfig {
  return {
    metadata: { name: "c", attempt: 0 },
    image: {
      image: "example.com/app:1",
      annotations: {},
      userSpecifiedImage: "",
      runtimeHandler: "",
      imageRef: "",
    },
    command: [],
    args: [],
    workingDir: "",
    env: [],
    mounts: [],
    devices: [],
    cdiDevices: [],
    labels: {},
    annotations: {},
    logPath: "",
    stdin: false,
    stdinOnce: false,
    tty: false,
    stopSignal: "",
    security: NO_SECURITY,
    ...more,
  };
}
