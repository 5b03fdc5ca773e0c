/**
 * The one error type that crosses module borders.
 *
 * The kind is decided where the error is thrown; only a front end translates it (to a gRPC code, an exit
 * status). An error without a kind is a bug and counts as "internal". Messages are lower case, without a full
 * stop, name the object and the path, and hold no secret.
 */

export const ERROR_KINDS = [
  "invalid-argument",
  "not-found",
  "already-exists",
  "failed-precondition",
  "permission-denied",
  "unauthenticated",
  "resource-exhausted",
  "unavailable",
  "unimplemented",
  "cancelled",
  "deadline-exceeded",
  "data-loss",
  "internal",
] as const;

export type ErrorKind = (typeof ERROR_KINDS)[number];

export class GantryError extends Error {
  readonly kind: ErrorKind;

  constructor(kind: ErrorKind, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "GantryError";
    this.kind = kind;
  }
}

/** The kind of any thrown value: a GantryError's own, that of an abort, else "internal". */
export function errorKind(error: unknown): ErrorKind {
  if (error instanceof GantryError) return error.kind;
  if (error instanceof Error && error.name === "AbortError") return "cancelled";
  if (error instanceof Error && error.name === "TimeoutError") return "deadline-exceeded";
  return "internal";
}

/** The message of any thrown value, without its stack. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The errno name ("ENOENT") of a failed system call, undefined where the error carries none. */
export function errnoCode(error: unknown): string | undefined {
  if (error instanceof Error && "code" in error && typeof error.code === "string") return error.code;
  return undefined;
}

/**
 * The same failure with what was being done put before it: `container "ab12": open /proc/…: ENOENT`. The kind
 * stays that of the cause, unless one is given.
 */
export function wrapError(context: string, cause: unknown, kind: ErrorKind = errorKind(cause)): GantryError {
  return new GantryError(kind, `${context}: ${errorMessage(cause)}`, { cause });
}
