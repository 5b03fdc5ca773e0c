/**
 * What the native half reports about a failed plan, turned into words: which step failed on which path, why, and
 * what kind of error that is for a caller. The facts are those of `struct plan_error` in native/executor/launch.h.
 */
import { GantryError } from "../base/errors.ts";

export interface PlanError {
  /** Index in the plan's list of operations, -1 before the first. */
  operation: number;
  errno: number;
  /** "openat2"; of a hook also "exit 3" or "signal 9". */
  syscall: string;
  path: string;
}

/** What `gantry-shim launch` writes to its result descriptor. */
export type LaunchResult = { pid: number } | { error: PlanError };

/** @throws data-loss when the bytes are not a whole result (the launcher died). */
export function decodeLaunchResult(bytes: Uint8Array): LaunchResult {
  void bytes;
  throw new GantryError("unimplemented", "decodeLaunchResult");
}

/** The error for a caller, with the failing step in words: `exec "foo": executable file not found in $PATH`. */
export function explainPlanError(plan: Uint8Array, error: PlanError): GantryError {
  void plan;
  return new GantryError("internal", `${error.syscall} ${error.path}: errno ${error.errno}`);
}
