/**
 * The plans of a container: of its first process, and of those executed in it later. Here the last unknowns are
 * filled in: the process whose PID namespace is joined, and the container's cgroup.
 */
import { GantryError } from "../base/errors.ts";
import { followedSources } from "../oci/bind-sources.ts";
import type { CgroupEntries } from "../oci/cgroup.ts";
import { planForContainer, planForExec, type ContainerPlanOptions } from "../oci/container-plan.ts";
import { deviceBinds } from "../oci/device-lookup.ts";
import { intelRdtTasks, prepareIntelRdt } from "../oci/intel-rdt.ts";
import { prepareNetDevices } from "../oci/net-devices.ts";
import type { Process, Spec } from "../oci/runtime-spec.ts";
import { containerState, hookOptions } from "./container-hooks.ts";
import { containerNamespaces, PID_NAMESPACE_AT_START } from "./container-spec.ts";
import type { Container } from "./container.ts";
import type { ContainerEntry } from "./container-table.ts";
import type { EngineContext } from "./engine-context.ts";
import { imageVolumeMounts } from "./image-volume.ts";
import { ensurePause } from "./pod-pause.ts";

export async function initPlan(
  context: EngineContext,
  entry: ContainerEntry,
  spec: Spec,
  cgroup: CgroupEntries,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const joined = await joinedSpec(context, entry, spec, signal);
  const { container } = entry;
  const hooks = await hookOptions(context, container, spec);
  const { netDevices, intelRdt } = spec.linux ?? {};
  prepareIntelRdt(intelRdt, container.id);
  const network = spec.linux?.namespaces?.find(({ type }) => type === "network")?.path;
  const moves = netDevices && { netDevices: await prepareNetDevices(netDevices, network) };
  return compileInit(context, container, joined, withClass(cgroup, spec, container), { ...hooks, ...moves });
}

/** The configuration with the PID namespace that is known only now. */
export async function joinedSpec(
  context: EngineContext,
  entry: ContainerEntry,
  spec: Spec,
  signal: AbortSignal,
): Promise<Spec> {
  const path = await pidNamespacePath(context, entry, signal);
  if (path === undefined) return spec;
  const namespaces = (spec.linux?.namespaces ?? []).map((namespace) =>
    namespace.type === "pid" && namespace.path === PID_NAMESPACE_AT_START
      ? { ...namespace, path }
      : namespace,
  );
  return { ...spec, linux: { ...spec.linux, namespaces } };
}

/** What a process enters: its control groups, and its resctrl class if it has one. */
function withClass(cgroup: CgroupEntries, { linux }: Spec, { id }: Container): CgroupEntries {
  const tasks = intelRdtTasks(linux?.intelRdt, id);
  return tasks.length === 0 ? cgroup : { ...cgroup, tasksFiles: [...cgroup.tasksFiles, ...tasks] };
}

/** The plan of a configuration in which nothing is unknown, or which is only to be checked. */
export function compileInit(
  context: EngineContext,
  container: Container,
  spec: Spec,
  cgroup: CgroupEntries,
  prepared: Pick<ContainerPlanOptions, "rootfsTarget" | "hookState" | "netDevices"> = {},
): Uint8Array {
  const linux = { ...spec.linux };
  const inUserNamespace = linux.namespaces?.some(({ type }) => type === "user") ?? false;
  const mounts = [...(spec.mounts ?? [])];
  if (inUserNamespace) {
    mounts.push(...followedSources(deviceBinds(linux.devices ?? [])));
    linux.devices = [];
  }
  const mountLabel = linux.mountLabel !== undefined && { mountLabel: linux.mountLabel };
  return planForContainer(
    { ...spec, linux, mounts },
    {
      rootfs: context.snapshotter.mount(container.id),
      idMapRootfs: inUserNamespace,
      directories: container.missingVolumes ?? [],
      images: imageVolumeMounts(context, container),
      cgroup,
      gate: "none",
      keyring: keyringName(container),
      ...prepared,
      ...mountLabel,
    },
  );
}

/** Keys in the session keyring are everybody's who has it; without one of its own, a process would have the daemon's. */
const keyringName = ({ id }: Container): string => `_ses.${id}`;

/** Undefined for a PID namespace of its own or the host's. */
async function pidNamespacePath(
  context: EngineContext,
  entry: ContainerEntry,
  signal: AbortSignal,
): Promise<string | undefined> {
  const pod = context.pods.get(entry.container.podSandboxId);
  const namespaces = containerNamespaces(entry.container.config, pod.sandbox);
  if (namespaces.pid === "pod") return `/proc/${(await ensurePause(context, pod, signal)).initPid}/ns/pid`;
  if (namespaces.pid !== "target") return undefined;
  const target = context.containers.find(namespaces.targetId)?.container;
  if (target?.podSandboxId !== entry.container.podSandboxId)
    throw new GantryError("not-found", `target container "${namespaces.targetId}" is not in the pod sandbox`);
  if (target.state !== "running" || target.pid === undefined)
    throw new GantryError(
      "failed-precondition",
      `target container "${target.id}" is ${target.state}, not running`,
    );
  return `/proc/${target.pid}/ns/pid`;
}

export function execPlan(
  context: EngineContext,
  entry: ContainerEntry,
  command: { args: string[]; terminal: boolean },
): Uint8Array {
  const spec = context.containers.spec(entry);
  const init = spec.process;
  if (!init) throw new GantryError("internal", `container "${entry.container.id}" has no process`);
  const process: Process = { ...init, args: command.args, terminal: command.terminal };
  const { container } = entry;
  const cgroup = withClass(
    context.cgroups.load(entry.cgroupPath).execEntries(container.pid ?? 0),
    spec,
    container,
  );
  const keyring = keyringName(container);
  if (!spec.linux?.seccomp?.listenerPath) return planForExec(spec, process, { cgroup, keyring });
  const state = { ...containerState(context, container, spec), status: "running", pid: container.pid };
  return planForExec(spec, process, { cgroup, keyring }, state);
}
