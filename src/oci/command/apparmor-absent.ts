/**
 * An AppArmor profile where the kernel has no AppArmor. The specification does not say what is to become of it; its
 * validation suite wants the container to run, and so do configurations that are written for many hosts. It runs,
 * unconfined, and a warning says so.
 */
import { AppArmor } from "../apparmor.ts";
import type { Process } from "../runtime-spec.ts";
import type { CommandLog } from "./command-context.ts";

/** The process without a profile that nothing here could apply. */
export function withoutAbsentAppArmor(process: Process, log: Pick<CommandLog, "warn">): Process {
  const { apparmorProfile, ...rest } = process;
  if (!apparmorProfile || new AppArmor().enabled) return process;
  log.warn(`AppArmor profile ${JSON.stringify(apparmorProfile)} is ignored: this kernel has no AppArmor`);
  return rest;
}
