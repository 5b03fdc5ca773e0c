/**
 * What a configuration asks of the host before a process can be launched: resctrl classes, network interfaces,
 * capabilities that the runtime itself has, the state for a seccomp agent. Most configurations ask for none of it.
 */
import { CAPABILITY_NAMES, capabilityMask, capabilityNames } from "../capabilities.ts";
import type { CgroupEntries } from "../cgroup.ts";
import { hostLimits } from "../host-limits.ts";
import { intelRdtTasks } from "../intel-rdt.ts";
import type { NetDeviceMove } from "../net-devices.ts";
import type { Process, Spec } from "../runtime-spec.ts";
import { withoutAbsentAppArmor } from "./apparmor-absent.ts";
import type { CommandLog } from "./command-context.ts";
import type { ContainerState } from "./container-state.ts";

export async function netDeviceMoves(spec: Spec): Promise<NetDeviceMove[]> {
  const devices = spec.linux?.netDevices;
  if (!devices || Object.keys(devices).length === 0) return [];
  const { prepareNetDevices } = await import("../net-devices.ts");
  return prepareNetDevices(devices);
}

/** What a process enters: its control groups, and its resctrl class. */
export function entriesWithClass(entries: CgroupEntries, spec: Spec, id: string): CgroupEntries {
  const rdt = spec.linux?.intelRdt;
  return rdt ? { ...entries, tasksFiles: [...entries.tasksFiles, ...intelRdtTasks(rdt, id)] } : entries;
}

/** The process without what this host cannot give it. */
export function grantedProcess(process: Process, log: Pick<CommandLog, "warn">): Process {
  return withoutAbsentAppArmor(withoutMissingCapabilities(process, log), log);
}

/**
 * The process without capabilities that this runtime has not and so cannot give, which are told and no error
 * (config.md, "Linux Process").
 */
function withoutMissingCapabilities(process: Process, log: Pick<CommandLog, "warn">): Process {
  const { capabilities } = process;
  if (!capabilities) return process;
  const available = hostLimits().capabilities;
  const missing = capabilityMask(Object.values(capabilities).flat() as string[]) & ~available;
  if (missing === 0n) return process;
  log.warn(`process.capabilities: this runtime cannot give ${capabilityNames(missing).join(", ")}`);
  const given = new Set(CAPABILITY_NAMES.filter((_, number) => (available >> BigInt(number)) & 1n));
  const sets = Object.entries(capabilities).map(([set, names]: [string, string[] | undefined]) => [
    set,
    names?.filter((name) => given.has(name)),
  ]);
  return { ...process, capabilities: Object.fromEntries(sets) as typeof capabilities };
}

/** The state as the specification has it, without what it leaves to a runtime. */
export function agentState({
  ociVersion,
  id,
  status,
  pid,
  bundle,
  annotations,
}: ContainerState): Record<string, unknown> {
  return { ociVersion, id, status, pid, bundle, ...(annotations && { annotations }) };
}
