/**
 * What a shim says has failed, as facts, and as the error that callers see. The facts of a plan go to `explain`,
 * which the wiring passes in, as only the executor's module knows what its operations mean.
 */
import { getSystemErrorName } from "node:util";
import { GantryError } from "../base/errors.ts";
import type { ErrorKind } from "../base/errors.ts";
import type { FieldReader } from "./frame.ts";

export interface ShimFailure {
  /** Index of the plan's failing operation, -1 before the first; undefined where it was not the plan. */
  operation: number | undefined;
  errno: number;
  syscall: string;
  path: string;
  /** By a failing hook of the plan. */
  said?: string | undefined;
}

/** Facts of a failing plan operation. */
export interface PlanFailure extends ShimFailure {
  operation: number;
}

/** Thrown by a connection for an ERROR reply; turned into a GantryError by who knows the request. */
export class ShimRequestError extends Error {
  readonly failure: ShimFailure;

  constructor(failure: ShimFailure) {
    super(`${failure.syscall}${failure.path ? ` ${failure.path}` : ""}: ${errnoName(failure.errno)}`);
    this.name = "ShimRequestError";
    this.failure = failure;
  }

  get code(): string {
    return errnoName(this.failure.errno);
  }
}

export function readFailure(fields: FieldReader): ShimFailure {
  return {
    operation: fields.i32("OPERATION"),
    errno: fields.u32("ERRNO") ?? 0,
    syscall: fields.text("SYSCALL") ?? "",
    path: fields.text("PATH") ?? "",
    said: fields.text("SAID"),
  };
}

function errnoName(errno: number): string {
  try {
    return getSystemErrorName(-errno);
  } catch {
    return `errno ${errno}`;
  }
}

const KINDS: Record<string, ErrorKind> = {
  ESRCH: "not-found",
  EALREADY: "failed-precondition",
  EBUSY: "failed-precondition",
  ENOTTY: "failed-precondition",
  EINVAL: "invalid-argument",
  ENOSYS: "unimplemented",
  ENOSPC: "resource-exhausted",
  EMFILE: "resource-exhausted",
  ENOMEM: "resource-exhausted",
};

/** The same failure as a GantryError: `container "ab12": open /var/log/…: ENOENT`. Others pass unchanged. */
export function explainRequest(context: string, error: unknown, kind?: ErrorKind): unknown {
  if (!(error instanceof ShimRequestError)) return error;
  return new GantryError(kind ?? KINDS[error.code] ?? "internal", `${context}: ${error.message}`, {
    cause: error,
  });
}
