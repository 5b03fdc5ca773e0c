/** Pods and containers as plugins see them: what the engine shows, as NRI's messages. */
import type { Hook, HookedContainer, HookedPod, Spec } from "../engine/lifecycle-hooks.ts";
import type { SecurityProfile } from "../engine/security.ts";
import type { ContainerMessage, PodSandboxMessage } from "./messages.ts";
import { wrap } from "./numbers.ts";
import { limitsMessage, resourcesMessage } from "./resources.ts";

export function podMessage({ sandbox, namespaces, cgroupParent }: HookedPod): PodSandboxMessage {
  const { config } = sandbox;
  return {
    id: sandbox.id,
    name: config.metadata.name,
    uid: config.metadata.uid,
    namespace: config.metadata.namespace,
    labels: config.labels,
    annotations: config.annotations,
    runtime_handler: sandbox.runtimeHandler,
    linux: {
      pod_overhead: limitsMessage(sandbox.overhead ?? config.overhead),
      pod_resources: limitsMessage(sandbox.resources ?? config.resources),
      cgroup_parent: cgroupParent,
      namespaces,
    },
    pid: sandbox.pausePid ?? 0,
    ips: sandbox.ips,
  };
}

const STATES = {
  created: "CONTAINER_CREATED",
  running: "CONTAINER_RUNNING",
  exited: "CONTAINER_STOPPED",
  unknown: "CONTAINER_UNKNOWN",
} as const;

/** @param spec in place of the container's own, when an earlier plugin has changed it. */
export function containerMessage(
  { container, ...subject }: HookedContainer,
  spec = subject.spec(),
): ContainerMessage {
  const { config } = container;
  return {
    id: container.id,
    pod_sandbox_id: container.podSandboxId,
    name: config.metadata.name,
    state: STATES[container.state],
    labels: config.labels,
    annotations: { ...config.annotations, ...spec.annotations },
    args: spec.process?.args ?? [],
    env: spec.process?.env ?? [],
    mounts: (spec.mounts ?? []).map(({ destination, type = "", source = "", options = [] }) => ({
      destination,
      type,
      source,
      options,
    })),
    hooks: hooksMessage(spec.hooks),
    linux: linuxMessage(spec, config.security.seccomp),
    pid: container.pid ?? 0,
    rlimits: (spec.process?.rlimits ?? []).map(({ type, hard, soft }) => ({
      type,
      hard: String(hard),
      soft: String(soft),
    })),
    created_at: String(container.createdAtNs),
    started_at: String(container.startedAtNs),
    finished_at: String(container.finishedAtNs),
    exit_code: container.exitCode,
    status_reason: container.reason,
    status_message: container.message,
    CDI_devices: config.cdiDevices.map((name) => ({ name })),
    user: {
      uid: container.user.uid,
      gid: container.user.gid,
      additional_gids: container.user.supplementalGroups,
    },
  };
}

function linuxMessage(
  spec: Spec,
  seccomp: SecurityProfile | undefined,
): NonNullable<ContainerMessage["linux"]> {
  const { linux, process } = spec;
  return {
    namespaces: (linux?.namespaces ?? []).map(({ type, path = "" }) => ({ type, path })),
    devices: (linux?.devices ?? []).map(({ path, type, major = 0, minor = 0, fileMode, uid, gid }) => ({
      path,
      type,
      major,
      minor,
      file_mode: wrap(fileMode) ?? null,
      uid: wrap(uid) ?? null,
      gid: wrap(gid) ?? null,
    })),
    resources: resourcesMessage(linux?.resources),
    oom_score_adj: wrap(process?.oomScoreAdj) ?? null,
    cgroups_path: linux?.cgroupsPath ?? "",
    seccomp_profile: {
      profile_type: seccomp ? PROFILES[seccomp.kind] : "UNCONFINED",
      localhost_ref: seccomp?.localhostRef ?? "",
    },
    sysctl: linux?.sysctl ?? {},
    io_priority: process?.ioPriority
      ? { class: known(process.ioPriority.class), priority: process.ioPriority.priority ?? 0 }
      : null,
    scheduler: process?.scheduler ? schedulerMessage(process.scheduler) : null,
    net_devices: Object.fromEntries(
      Object.entries(linux?.netDevices ?? {}).map(([host, { name = "" }]) => [host, { name }]),
    ),
    rdt: linux?.intelRdt ? classMessage(linux.intelRdt) : null,
  };
}

type LinuxMessage = NonNullable<ContainerMessage["linux"]>;

/** A stored configuration has been checked: its names are those of the protocol's enums. */
const known = <T>(name: string): T => name as T;

function schedulerMessage({
  policy,
  nice = 0,
  priority = 0,
  flags = [],
  runtime = 0,
  deadline = 0,
  period = 0,
}: NonNullable<NonNullable<Spec["process"]>["scheduler"]>): NonNullable<LinuxMessage["scheduler"]> {
  return {
    policy: known(policy),
    nice,
    priority,
    flags: flags.map((flag) => known(flag)),
    runtime: String(runtime),
    deadline: String(deadline),
    period: String(period),
  };
}

/** The older members are schemata, too, and come first. */
function classMessage({
  closID,
  schemata,
  l3CacheSchema,
  memBwSchema,
  enableMonitoring,
}: NonNullable<NonNullable<Spec["linux"]>["intelRdt"]>): NonNullable<LinuxMessage["rdt"]> {
  const lines = [l3CacheSchema, memBwSchema, ...(schemata ?? [])].filter((line) => line !== undefined);
  return {
    clos_id: wrap(closID) ?? null,
    schemata: lines.length > 0 ? { value: lines } : null,
    enable_monitoring: wrap(enableMonitoring) ?? null,
  };
}

const PROFILES = {
  "runtime-default": "RUNTIME_DEFAULT",
  unconfined: "UNCONFINED",
  localhost: "LOCALHOST",
} as const;

function hooksMessage(hooks: Spec["hooks"]): NonNullable<ContainerMessage["hooks"]> {
  const list = (kind: Hook[] | undefined): object[] =>
    (kind ?? []).map(({ path, args = [], env = [], timeout }) => ({
      path,
      args,
      env,
      timeout: wrap(timeout) ?? null,
    }));
  return {
    prestart: list(hooks?.prestart),
    create_runtime: list(hooks?.createRuntime),
    create_container: list(hooks?.createContainer),
    start_container: list(hooks?.startContainer),
    poststart: list(hooks?.poststart),
    poststop: list(hooks?.poststop),
  };
}
