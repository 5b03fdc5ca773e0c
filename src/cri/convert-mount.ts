/** Mounts and devices of containers, both ways. */
import type { ContainerDevice, ContainerMount, MountPropagation } from "../engine/container.ts";
import { imageSpec, imageSpecMessage } from "./convert-image.ts";
import { idMappingMessages, idMappings } from "./convert-namespaces.ts";
import type { Device__Output } from "./generated/runtime/v1/Device.ts";
import type { Mount, Mount__Output } from "./generated/runtime/v1/Mount.ts";
import type { MountPropagation__Output } from "./generated/runtime/v1/MountPropagation.ts";
import { absolutePath, choice, invalid, relativePath, texts } from "./request-field.ts";

const PROPAGATIONS: Readonly<Record<MountPropagation__Output, MountPropagation>> = {
  PROPAGATION_PRIVATE: "private",
  PROPAGATION_HOST_TO_CONTAINER: "host-to-container",
  PROPAGATION_BIDIRECTIONAL: "bidirectional",
};
const PROPAGATION_NAMES: Readonly<Record<MountPropagation, MountPropagation__Output>> = {
  private: "PROPAGATION_PRIVATE",
  "host-to-container": "PROPAGATION_HOST_TO_CONTAINER",
  bidirectional: "PROPAGATION_BIDIRECTIONAL",
};

/** A mount has one source: a path of the host, or an image. */
export function containerMount(mount: Mount__Output, field: string): ContainerMount {
  const containerPath = absolutePath(mount.container_path, `${field}.container_path`);
  const propagation = choice(PROPAGATIONS, mount.propagation, `${field}.propagation`);
  const image = mount.image && imageSpec(mount.image, `${field}.image`);
  const subPath = mount.image_sub_path;
  if (image) {
    if (mount.host_path !== "") throw invalid(`${field}.host_path`, "is given together with image");
    if (!mount.readonly)
      throw invalid(`${field}.readonly`, "is false, and an image volume is always read-only");
    relativePath(subPath, `${field}.image_sub_path`);
  } else {
    absolutePath(mount.host_path, `${field}.host_path`);
    if (subPath !== "") throw invalid(`${field}.image_sub_path`, "is given without image");
  }
  if (mount.recursive_read_only && !mount.readonly)
    throw invalid(`${field}.recursive_read_only`, "is true, and readonly is not");
  if (mount.recursive_read_only && propagation !== "private")
    throw invalid(`${field}.recursive_read_only`, "is true, and propagation is not PROPAGATION_PRIVATE");
  if ((mount.uidMappings.length === 0) !== (mount.gidMappings.length === 0))
    throw invalid(`${field}.uidMappings`, "and gidMappings must be given together");
  return {
    containerPath,
    hostPath: mount.host_path,
    readonly: mount.readonly,
    selinuxRelabel: mount.selinux_relabel,
    propagation,
    uidMappings: idMappings(mount.uidMappings, `${field}.uidMappings`),
    gidMappings: idMappings(mount.gidMappings, `${field}.gidMappings`),
    recursiveReadOnly: mount.recursive_read_only,
    ...(image ? { image } : {}),
    imageSubPath: subPath,
    mountOptions: texts(mount.mount_options, `${field}.mount_options`),
  };
}

/** @param imageId identity of the image that is mounted. */
export function mountMessage(mount: ContainerMount, imageId: string | undefined): Mount {
  return {
    container_path: mount.containerPath,
    host_path: mount.hostPath,
    readonly: mount.readonly,
    selinux_relabel: mount.selinuxRelabel,
    propagation: PROPAGATION_NAMES[mount.propagation],
    uidMappings: idMappingMessages(mount.uidMappings),
    gidMappings: idMappingMessages(mount.gidMappings),
    recursive_read_only: mount.recursiveReadOnly,
    ...(mount.image
      ? { image: { ...imageSpecMessage(mount.image), image_ref: imageId ?? mount.image.imageRef } }
      : {}),
    image_sub_path: mount.imageSubPath,
    mount_options: mount.mountOptions,
  };
}

/** No permissions at all means all of them. */
export function containerDevice(device: Device__Output, field: string): ContainerDevice {
  const permissions = device.permissions === "" ? "rwm" : device.permissions;
  if (!/^[rwm]+$/.test(permissions))
    throw invalid(`${field}.permissions`, `${JSON.stringify(permissions)} has letters other than r, w and m`);
  return {
    containerPath: absolutePath(device.container_path, `${field}.container_path`),
    hostPath: absolutePath(device.host_path, `${field}.host_path`),
    permissions,
  };
}
