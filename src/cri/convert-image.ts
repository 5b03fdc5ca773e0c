/** Images and credentials, both ways. */
import type { ImageSpec } from "../engine/container.ts";
import type { ImageRecord, RegistryAuth } from "../engine/engine.ts";
import type { AuthConfig__Output } from "./generated/runtime/v1/AuthConfig.ts";
import type { Image } from "./generated/runtime/v1/Image.ts";
import type { ImageSpec as ImageSpecMessage, ImageSpec__Output } from "./generated/runtime/v1/ImageSpec.ts";
import { nonEmpty, required } from "./request-field.ts";

/** An image that must be named. */
export function imageSpec(spec: ImageSpec__Output | null, field: string): ImageSpec {
  const given = required(spec, field);
  return {
    image: nonEmpty(given.image, `${field}.image`),
    annotations: given.annotations,
    userSpecifiedImage: given.user_specified_image,
    runtimeHandler: given.runtime_handler,
    imageRef: given.image_ref,
  };
}

export function imageSpecMessage(spec: ImageSpec): ImageSpecMessage {
  return {
    image: spec.image,
    annotations: spec.annotations,
    user_specified_image: spec.userSpecifiedImage,
    runtime_handler: spec.runtimeHandler,
    image_ref: spec.imageRef,
  };
}

export function imageMessage(image: ImageRecord): Image {
  return {
    id: image.id,
    repo_tags: image.repoTags,
    repo_digests: image.repoDigests,
    size: image.sizeBytes,
    pinned: image.pinned,
    ...imageUser(image.config.user),
  };
}

/**
 * The user part of `user[:group]`, as a number or as a name. A number too large for a user id stays a name: a kubelet
 * then cannot take it for somebody else (CVE-2026-46680). No user, which means root, gives neither.
 */
function imageUser(user: string): Pick<Image, "uid" | "username"> {
  const name = user.split(":", 1)[0] ?? "";
  if (/^[0-9]+$/.test(name) && Number(name) < 2 ** 31) return { uid: { value: Number(name) } };
  return { username: name };
}

/** Undefined when nothing is in it. */
export function registryAuth(auth: AuthConfig__Output | null): RegistryAuth | undefined {
  if (!auth) return undefined;
  const given: RegistryAuth = {
    ...(auth.username === "" ? {} : { username: auth.username }),
    ...(auth.password === "" ? {} : { password: auth.password }),
    ...(auth.auth === "" ? {} : { auth: auth.auth }),
    ...(auth.server_address === "" ? {} : { serverAddress: auth.server_address }),
    ...(auth.identity_token === "" ? {} : { identityToken: auth.identity_token }),
    ...(auth.registry_token === "" ? {} : { registryToken: auth.registry_token }),
  };
  return Object.keys(given).length === 0 ? undefined : given;
}
