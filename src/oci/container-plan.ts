/**
 * From a configuration to the plan of its init process: the seccomp program and the plan compiler in one call, for
 * the daemon and the gantry-oci command alike.
 */
import {
  compileExecPlan,
  compilePlan,
  type ExecPlanOptions,
  type PlanOptions,
  type PlanSeccomp,
} from "./plan-compile.ts";
import { hostId } from "./plan-host-phase.ts";
import type { Process, Spec } from "./runtime-spec.ts";
import { compileSeccomp } from "./seccomp-compile.ts";
import { listenerState } from "./seccomp-listener.ts";

export type ContainerPlanOptions = Omit<PlanOptions, "seccomp" | "command"> &
  Partial<Pick<PlanOptions, "command">>;

/** @throws GantryError invalid-argument or unimplemented for what no plan can express. */
export function planForContainer(spec: Spec, options: ContainerPlanOptions): Uint8Array {
  const seccomp = seccompOf(spec, { ...options.hookState, status: "creating" });
  return compilePlan(spec, { command: "exec", ...options, ...seccomp });
}

/**
 * The plan of a further process in a container that was made from `spec`.
 * @param state the container's, with status and pid, for an agent that a seccomp filter has.
 */
export function planForExec(
  spec: Spec,
  process: Process,
  options: Omit<ExecPlanOptions, "namespaces" | "seccomp" | "stdioOwner" | "linux">,
  state: Record<string, unknown> = {},
): Uint8Array {
  const namespaces = (spec.linux?.namespaces ?? []).map(({ type }) => type);
  const stdioOwner = namespaces.includes("user")
    ? hostId(spec.linux?.uidMappings, process.user.uid)
    : undefined;
  return compileExecPlan(process, {
    ...options,
    namespaces,
    ...(stdioOwner !== undefined && { stdioOwner }),
    ...(spec.linux && { linux: spec.linux }),
    ...seccompOf(spec, state),
  });
}

function seccompOf(spec: Spec, state: Record<string, unknown>): { seccomp?: PlanSeccomp } {
  const seccomp = spec.linux?.seccomp;
  if (!seccomp) return {};
  const { program, flags, notifies } = compileSeccomp(seccomp);
  if (!notifies) return { seccomp: { program, flags } };
  const listener = { path: seccomp.listenerPath ?? "", state: listenerState(seccomp, state) };
  return { seccomp: { program, flags, listener } };
}
