/** The generated types by short names: plain for what is sent, with Reply or In for what arrives. */
export type { ConfigureRequest } from "./generated/api/nri/pkg/api/v1alpha1/ConfigureRequest.ts";
export type { ConfigureResponse__Output as ConfigureReply } from "./generated/api/nri/pkg/api/v1alpha1/ConfigureResponse.ts";
export type { Container as ContainerMessage } from "./generated/api/nri/pkg/api/v1alpha1/Container.ts";
export type { ContainerAdjustment__Output as AdjustmentIn } from "./generated/api/nri/pkg/api/v1alpha1/ContainerAdjustment.ts";
export type { ContainerEviction__Output as EvictionIn } from "./generated/api/nri/pkg/api/v1alpha1/ContainerEviction.ts";
export type {
  ContainerUpdate as UpdateMessage,
  ContainerUpdate__Output as UpdateIn,
} from "./generated/api/nri/pkg/api/v1alpha1/ContainerUpdate.ts";
export type { CreateContainerResponse__Output as CreateContainerReply } from "./generated/api/nri/pkg/api/v1alpha1/CreateContainerResponse.ts";
export type { FieldOwners as FieldOwnersMessage } from "./generated/api/nri/pkg/api/v1alpha1/FieldOwners.ts";
export type { Hook__Output as HookIn } from "./generated/api/nri/pkg/api/v1alpha1/Hook.ts";
export type { LinuxContainerAdjustment__Output as LinuxAdjustmentIn } from "./generated/api/nri/pkg/api/v1alpha1/LinuxContainerAdjustment.ts";
export type { LinuxDevice__Output as DeviceIn } from "./generated/api/nri/pkg/api/v1alpha1/LinuxDevice.ts";
export type {
  LinuxResources as ResourcesMessage,
  LinuxResources__Output as ResourcesIn,
} from "./generated/api/nri/pkg/api/v1alpha1/LinuxResources.ts";
export type { LinuxSeccomp__Output as SeccompIn } from "./generated/api/nri/pkg/api/v1alpha1/LinuxSeccomp.ts";
export type { Mount__Output as MountIn } from "./generated/api/nri/pkg/api/v1alpha1/Mount.ts";
export type { PodSandbox as PodSandboxMessage } from "./generated/api/nri/pkg/api/v1alpha1/PodSandbox.ts";
export type { RegisterPluginRequest__Output as RegisterPluginIn } from "./generated/api/nri/pkg/api/v1alpha1/RegisterPluginRequest.ts";
export type { SynchronizeResponse__Output as SynchronizeReply } from "./generated/api/nri/pkg/api/v1alpha1/SynchronizeResponse.ts";
export type { UpdateContainersRequest__Output as UpdateContainersIn } from "./generated/api/nri/pkg/api/v1alpha1/UpdateContainersRequest.ts";
export type { ValidateContainerAdjustmentRequest as ValidateRequest } from "./generated/api/nri/pkg/api/v1alpha1/ValidateContainerAdjustmentRequest.ts";
export type { ValidateContainerAdjustmentResponse__Output as ValidateReply } from "./generated/api/nri/pkg/api/v1alpha1/ValidateContainerAdjustmentResponse.ts";
