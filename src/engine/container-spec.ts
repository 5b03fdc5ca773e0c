/**
 * From a container's configuration, its pod and its image to the OCI configuration. What is the pod's (namespaces,
 * files, shared memory) is named by path; the PID namespace of another process is named when the container starts.
 */
import { existsSync } from "node:fs";
import { realpath } from "node:fs/promises";
import { join } from "node:path";
import { GantryError } from "../base/errors.ts";
import type { ImageRecord } from "../image/image.ts";
import { generateSpec } from "../oci/spec-generate.ts";
import type { NamespaceChoice, SpecInput, SpecMount } from "../oci/spec-input.ts";
import type { Spec } from "../oci/runtime-spec.ts";
import type { ResolvedUser } from "../oci/user-lookup.ts";
import { apparmorChoice } from "./apparmor-choice.ts";
import { containerDevices } from "./container-devices.ts";
import type { ContainerConfig, ContainerMount } from "./container.ts";
import type { EngineContext } from "./engine-context.ts";
import { hostMountSource } from "./host-mount.ts";
import { imageVolumeKey } from "./image-volume.ts";
import { podHostname } from "./pod-files.ts";
import { type PodPaths, podPaths } from "./pod-paths.ts";
import type { NamespaceOptions, PodSandbox } from "./pod-sandbox.ts";
import { podIdMaps, specIdMappings } from "./pod-user-namespace.ts";
import { NO_RESOURCES } from "./resources.ts";
import { allowedAnnotations, runtimeHandler } from "./runtime-handler.ts";
import { relabel, selinuxChoice } from "./selinux-choice.ts";
import { seccompChoice } from "./seccomp-choice.ts";

export interface ContainerSpecInput {
  containerId: string;
  config: ContainerConfig;
  sandbox: PodSandbox;
  image: ImageRecord;
  user: ResolvedUser;
  cgroupPath: string;
}

/** @throws invalid-argument, not-found (a host path), failed-precondition, unimplemented. */
export async function containerSpec(context: EngineContext, input: ContainerSpecInput): Promise<Spec> {
  const { config, sandbox, image, user } = input;
  const { security } = config;
  const paths = podPaths(context.stateDirectory, sandbox.id);
  const namespaces = containerNamespaces(config, sandbox);
  const maps = podIdMaps(sandbox.config.namespaces);
  const handler = runtimeHandler(context, sandbox.runtimeHandler);
  const devices = containerDevices(config, handler.options?.privilegedWithoutHostDevices ?? false);
  // An empty list means "the default" or "none", which the protocol cannot tell apart. The kubelet asks for none only
  // in pods with a user namespace of their own.
  const masks = (paths: string[]): boolean =>
    paths.length > 0 || sandbox.config.namespaces.user?.mode === "pod";
  const labels = await selinuxChoice(context, security, sandbox);
  if (labels) await relabelPodFiles(paths, labels.mount);
  const [mounts, seccomp, apparmorProfile] = await Promise.all([
    Promise.all(
      config.mounts.map((mount, index) => specMount(mount, index, input.containerId, labels?.mount)),
    ),
    seccompChoice(context, security),
    apparmorChoice(context, security),
  ]);
  const spec: SpecInput = {
    process: {
      args: containerArguments(config, image),
      env: [
        `HOSTNAME=${podHostname(sandbox.config)}`,
        ...image.config.env,
        ...config.env.map(({ key, value }) => `${key}=${value}`),
      ],
      cwd: config.workingDir || image.config.workingDir,
      terminal: config.tty,
      user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids },
      home: user.home,
      capabilities: {
        add: security.addCapabilities,
        drop: security.dropCapabilities,
        addAmbient: security.addAmbientCapabilities,
      },
      noNewPrivileges: security.noNewPrivs,
      ...(context.openFiles && { rlimits: [{ type: "RLIMIT_NOFILE", ...context.openFiles }] }),
      ...(apparmorProfile !== undefined && { apparmorProfile }),
      ...(labels && { selinuxLabel: labels.process, mountLabel: labels.mount }),
    },
    privileged: security.privileged,
    rootfs: { path: "rootfs", readonly: security.readonlyRootfs },
    namespaces: {
      mount: "new",
      network:
        sandbox.config.namespaces.network === "node" ? "host" : { path: join(paths.namespaces, "net") },
      uts: sandbox.config.namespaces.network === "node" ? "host" : { path: join(paths.namespaces, "uts") },
      ipc: sandbox.config.namespaces.ipc === "node" ? "host" : { path: join(paths.namespaces, "ipc") },
      pid: pidChoice(namespaces),
      /* The host's could not be mounted in a user namespace. */
      cgroup: context.cgroups.version === "v2" && (!security.privileged || maps) ? "new" : "host",
      ...(maps && { user: { path: join(paths.namespaces, "user") } }),
    },
    ...(maps && { uidMappings: maps.uids, gidMappings: maps.gids }),
    ...(masks(security.maskedPaths) && { maskedPaths: security.maskedPaths }),
    ...(masks(security.readonlyPaths) && { readonlyPaths: security.readonlyPaths }),
    seccomp,
    mounts,
    podFiles: [
      { destination: "/etc/hosts", source: paths.hosts, readonly: security.readonlyRootfs },
      { destination: "/etc/hostname", source: paths.hostname, readonly: security.readonlyRootfs },
      { destination: "/etc/resolv.conf", source: paths.resolvConf, readonly: security.readonlyRootfs },
    ],
    shmSource: sandbox.config.namespaces.ipc === "node" ? "/dev/shm" : paths.shm,
    devices,
    resources: config.resources ?? NO_RESOURCES,
    cgroupsPath: input.cgroupPath,
    sysctls: {},
    annotations: allowedAnnotations(handler, sandbox, config),
  };
  return generateSpec(spec);
}

/** The container's own choice of namespaces, else its pod's. */
export function containerNamespaces(config: ContainerConfig, sandbox: PodSandbox): NamespaceOptions {
  return config.security.namespaces ?? sandbox.config.namespaces;
}

/**
 * The path of a joined namespace is set at start (container-plan.ts), when the process is known.
 */
function pidChoice(namespaces: NamespaceOptions): NamespaceChoice {
  switch (namespaces.pid) {
    case "container":
      return "new";
    case "node":
      return "host";
    case "pod":
    case "target":
      return { path: PID_NAMESPACE_AT_START };
  }
}

/** Stands in a stored configuration for the PID namespace of a process that is looked up at start. */
export const PID_NAMESPACE_AT_START = "/proc/0/ns/pid";

/** Command and arguments of Kubernetes: a command replaces the image's entrypoint and its arguments. */
export function containerArguments(config: ContainerConfig, image: ImageRecord): string[] {
  const { entrypoint, cmd } = image.config;
  if (config.command.length > 0) return [...config.command, ...config.args];
  const args = [...entrypoint, ...(config.args.length > 0 ? config.args : cmd)];
  if (args.length === 0)
    throw new GantryError(
      "invalid-argument",
      `container: neither it nor its image ${config.image.image} has a command`,
    );
  return args;
}

/** What all containers of the pod share. */
async function relabelPodFiles(paths: PodPaths, label: string): Promise<void> {
  const shared = [paths.hosts, paths.hostname, paths.resolvConf, paths.shm];
  for (const path of shared) if (existsSync(path)) await relabel(await realpath(path), label);
}

async function specMount(
  mount: ContainerMount,
  index: number,
  containerId: string,
  label: string | undefined,
): Promise<SpecMount> {
  const { readonly, recursiveReadOnly, propagation, image, imageSubPath } = mount;
  const source = image ? imageVolumeKey(containerId, index) : await hostMountSource(mount);
  if (mount.selinuxRelabel && !image && label !== undefined) await relabel(source, label);
  return {
    destination: mount.containerPath.startsWith("/") ? mount.containerPath : `/${mount.containerPath}`,
    source,
    ...(image && { image: { subPath: imageSubPath } }),
    readonly,
    recursiveReadonly: recursiveReadOnly,
    propagation,
    options: mount.mountOptions,
    uidMappings: specIdMappings(mount.uidMappings),
    gidMappings: specIdMappings(mount.gidMappings),
  };
}
