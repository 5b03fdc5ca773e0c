/**
 * From a configuration to the plan of its init process: the seccomp program and the plan compiler in one call, for
 * the daemon and the gantry-oci command alike.
 */
import { GantryError } from "../base/errors.ts";
import {
  compileExecPlan,
  compilePlan,
  type ExecPlanOptions,
  type PlanOptions,
  type PlanSeccomp,
} from "./plan-compile.ts";
import { hostId } from "./plan-host-phase.ts";
import type { Process, Seccomp, Spec } from "./runtime-spec.ts";
import { compileSeccomp } from "./seccomp-compile.ts";

export type ContainerPlanOptions = Omit<PlanOptions, "seccomp" | "command"> &
  Partial<Pick<PlanOptions, "command">>;

/** @throws GantryError invalid-argument or unimplemented for what no plan can express. */
export function planForContainer(spec: Spec, options: ContainerPlanOptions): Uint8Array {
  return compilePlan(spec, { command: "exec", ...options, ...seccompOf(spec.linux?.seccomp) });
}

/** The plan of a further process in a container that was made from `spec`. */
export function planForExec(
  spec: Spec,
  process: Process,
  options: Omit<ExecPlanOptions, "namespaces" | "seccomp" | "stdioOwner">,
): Uint8Array {
  const namespaces = (spec.linux?.namespaces ?? []).map(({ type }) => type);
  const stdioOwner = namespaces.includes("user")
    ? hostId(spec.linux?.uidMappings, process.user.uid)
    : undefined;
  return compileExecPlan(process, {
    ...options,
    namespaces,
    ...(stdioOwner !== undefined && { stdioOwner }),
    ...seccompOf(spec.linux?.seccomp),
  });
}

function seccompOf(seccomp: Seccomp | undefined): { seccomp?: PlanSeccomp } {
  if (!seccomp) return {};
  const { program, flags, notifies } = compileSeccomp(seccomp);
  if (notifies) throw new GantryError("unimplemented", "seccomp: SCMP_ACT_NOTIFY has no listener here");
  return { seccomp: { program, flags } };
}
