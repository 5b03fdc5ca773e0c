/** Containers, both ways. */
import { textOfBytes } from "../base/byte-text.ts";
import type { Container, ContainerConfig, ContainerFilter, ContainerState } from "../engine/container.ts";
import type { ImageRecord } from "../engine/engine.ts";
import { imageSpec, imageSpecMessage } from "./convert-image.ts";
import { containerDevice, containerMount, mountMessage } from "./convert-mount.ts";
import { linuxResources, linuxResourcesMessage } from "./convert-resources.ts";
import { containerSecurity } from "./convert-security.ts";
import { stopSignal, stopSignalMessage } from "./convert-signal.ts";
import type { Container as ContainerMessage } from "./generated/runtime/v1/Container.ts";
import type { ContainerConfig__Output } from "./generated/runtime/v1/ContainerConfig.ts";
import type { ContainerFilter__Output } from "./generated/runtime/v1/ContainerFilter.ts";
import type { ContainerState__Output } from "./generated/runtime/v1/ContainerState.ts";
import type { ContainerStatus } from "./generated/runtime/v1/ContainerStatus.ts";
import type { KeyValue__Output } from "./generated/runtime/v1/KeyValue.ts";
import {
  choice,
  invalid,
  nonEmpty,
  plainName,
  relativePath,
  required,
  text,
  texts,
} from "./request-field.ts";

const STATES = {
  CONTAINER_CREATED: "created",
  CONTAINER_RUNNING: "running",
  CONTAINER_EXITED: "exited",
  CONTAINER_UNKNOWN: "unknown",
} as const;
const STATE_NAMES: Readonly<Record<ContainerState, ContainerState__Output>> = {
  created: "CONTAINER_CREATED",
  running: "CONTAINER_RUNNING",
  exited: "CONTAINER_EXITED",
  unknown: "CONTAINER_UNKNOWN",
};

export function containerConfig(config: ContainerConfig__Output, field: string): ContainerConfig {
  const metadata = required(config.metadata, `${field}.metadata`);
  const resources = config.linux?.resources;
  return {
    metadata: { name: plainName(metadata.name, `${field}.metadata.name`), attempt: metadata.attempt },
    image: imageSpec(config.image, `${field}.image`),
    command: texts(config.command, `${field}.command`),
    args: texts(config.args, `${field}.args`),
    workingDir: text(config.working_dir, `${field}.working_dir`),
    env: config.envs.map((variable, index) => environmentVariable(variable, `${field}.envs[${index}]`)),
    mounts: config.mounts.map((mount, index) => containerMount(mount, `${field}.mounts[${index}]`)),
    devices: config.devices.map((device, index) => containerDevice(device, `${field}.devices[${index}]`)),
    cdiDevices: config.CDI_devices.map(({ name }, index) =>
      nonEmpty(name, `${field}.CDI_devices[${index}].name`),
    ),
    labels: config.labels,
    annotations: config.annotations,
    logPath: relativePath(config.log_path, `${field}.log_path`),
    stdin: config.stdin,
    stdinOnce: config.stdin_once,
    tty: config.tty,
    ...(resources ? { resources: linuxResources(resources, `${field}.linux.resources`) } : {}),
    security: containerSecurity(config.linux?.security_context ?? null, `${field}.linux.security_context`),
    stopSignal: stopSignal(config.stop_signal, `${field}.stop_signal`),
  };
}

/** The value is any bytes but NUL, kept as text that stands for them. It is a secret as often as not, so no error shows it. */
function environmentVariable(variable: KeyValue__Output, field: string): { key: string; value: string } {
  const key = nonEmpty(variable.key, `${field}.key`);
  if (key.includes("=")) throw invalid(`${field}.key`, `${JSON.stringify(key)} has "=" in it`);
  const value = `${field}.value, of ${JSON.stringify(key)},`;
  return { key, value: text(textOfBytes(variable.value), value) };
}

export function containerFilter(filter: ContainerFilter__Output | null): ContainerFilter {
  if (!filter) return {};
  return {
    ...(filter.id === "" ? {} : { id: filter.id }),
    ...(filter.state ? { state: choice(STATES, filter.state.state, "filter.state.state") } : {}),
    ...(filter.pod_sandbox_id === "" ? {} : { podSandboxId: filter.pod_sandbox_id }),
    labels: filter.label_selector,
  };
}

export function containerMessage(container: Container): ContainerMessage {
  const { config } = container;
  return {
    id: container.id,
    pod_sandbox_id: container.podSandboxId,
    metadata: config.metadata,
    image: imageSpecMessage(config.image),
    image_ref: container.imageRef,
    state: STATE_NAMES[container.state],
    created_at: container.createdAtNs.toString(),
    labels: config.labels,
    annotations: config.annotations,
    image_id: container.imageId,
  };
}

/** @param image the container's image, if it is still there: its tag is what users know it by. */
export function containerStatusMessage(
  container: Container,
  image: ImageRecord | undefined,
): ContainerStatus {
  const { config, user } = container;
  return {
    id: container.id,
    metadata: config.metadata,
    state: STATE_NAMES[container.state],
    created_at: container.createdAtNs.toString(),
    started_at: container.startedAtNs.toString(),
    finished_at: container.finishedAtNs.toString(),
    exit_code: container.exitCode,
    image: { ...imageSpecMessage(config.image), image: imageName(container, image) },
    image_ref: container.imageRef,
    reason: container.reason,
    message: container.message,
    labels: config.labels,
    annotations: config.annotations,
    mounts: config.mounts.map((mount, index) => mountMessage(mount, volumeImage(container, index))),
    log_path: container.logPath,
    resources: { linux: linuxResourcesMessage(container.resources) },
    image_id: container.imageId,
    user: {
      linux: { uid: user.uid, gid: user.gid, supplemental_groups: user.supplementalGroups },
    },
    stop_signal: stopSignalMessage(container.stopSignal),
  };
}

/** Identity of the image behind a mount. */
function volumeImage({ imageVolumes }: Container, index: number): string | undefined {
  return imageVolumes?.find(({ mount }) => mount === index)?.imageId;
}

/**
 * The kubelet asks for images by id, and shows what is answered here to users: the tag that the pod names if the image
 * has it, else any tag, else what was asked for.
 */
function imageName({ config }: Container, image: ImageRecord | undefined): string {
  const { image: asked, userSpecifiedImage: wished } = config.image;
  const tags = image?.repoTags ?? [];
  const match = wished === "" ? undefined : tags.find((tag) => tag === wished || tag.endsWith(`/${wished}`));
  return match ?? tags[0] ?? (wished === "" ? asked : wished);
}
