/** Checks of a container's configuration, before anything is made for it. */
import { posix } from "node:path";
import { GantryError } from "../base/errors.ts";
import type { ContainerConfig, ContainerMount } from "./container.ts";
import type { PodSandboxConfig } from "./pod-sandbox.ts";
import { checkContainerUserNamespace } from "./pod-user-namespace.ts";
import { signalNumber } from "./signal.ts";

/** @throws invalid-argument, failed-precondition or unimplemented, naming the field. */
export function checkContainerConfig(config: ContainerConfig, pod: PodSandboxConfig): void {
  const { security } = config;
  if (config.metadata.name === "") throw invalid("metadata.name is empty");
  if (config.image.image === "") throw invalid("image is empty");
  if (security.privileged && !pod.privileged)
    throw new GantryError("failed-precondition", "container: privileged, but its pod sandbox is not");
  if (security.runAsUser !== undefined && security.runAsUsername !== "")
    throw invalid("run_as_user and run_as_username are both given");
  if (security.runAsGroup !== undefined && security.runAsUser === undefined && security.runAsUsername === "")
    throw invalid("run_as_group is given without a user");
  if (config.stopSignal !== "") signalNumber(config.stopSignal);
  if (config.workingDir !== "" && !posix.isAbsolute(config.workingDir))
    throw invalid(`working directory "${config.workingDir}" is not absolute`);
  for (const { key } of config.env)
    if (key === "" || key.includes("=") || key.includes("\0"))
      throw invalid(`environment name ${JSON.stringify(key)} is malformed`);
  checkLogPath(config.logPath);
  for (const mount of config.mounts) checkMount(mount);
  checkContainerUserNamespace(config, pod);
}

/** A log path stays below the pod's log directory (CVE-2025-0750). */
function checkLogPath(path: string): void {
  if (path === "") return;
  const parts = path.split("/");
  if (
    posix.isAbsolute(path) ||
    parts.some((part) => part === ".." || part === "" || part === ".") ||
    path.includes("\0")
  )
    throw invalid(`log path "${path}" is not a plain path below the log directory`);
}

function checkMount(mount: ContainerMount): void {
  const where = `mount "${mount.containerPath}"`;
  if (mount.containerPath === "") throw invalid("a mount's container path is empty");
  if (mount.containerPath.includes("\0") || mount.hostPath.includes("\0"))
    throw invalid(`${where}: a path holds a NUL`);
  if (mount.image) {
    if (mount.hostPath !== "") throw invalid(`${where}: both image and host path are given`);
    if (!mount.readonly) throw invalid(`${where}: an image volume that is not read-only`);
    if (mount.imageSubPath.includes("\0")) throw invalid(`${where}: the image's path holds a NUL`);
    if (mount.propagation !== "private" || mount.recursiveReadOnly)
      throw invalid(`${where}: an image volume has no propagation and no mounts below it`);
    return;
  }
  if (mount.hostPath === "") throw invalid(`${where}: the host path is empty`);
  if (!posix.isAbsolute(mount.hostPath))
    throw invalid(`${where}: host path "${mount.hostPath}" is not absolute`);
  if (mount.recursiveReadOnly && !mount.readonly)
    throw invalid(`${where}: recursively read-only, but not read-only`);
  if (mount.recursiveReadOnly && mount.propagation !== "private")
    throw invalid(`${where}: recursively read-only needs private propagation`);
}

function invalid(message: string): GantryError {
  return new GantryError("invalid-argument", `container: ${message}`);
}
