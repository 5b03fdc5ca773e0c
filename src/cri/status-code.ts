/** GantryError kinds as gRPC status codes, and errors as what a client may read of them. */
import { status } from "@grpc/grpc-js";
import { errorKind, errorMessage, type ErrorKind } from "../base/errors.ts";

const CODES: Record<ErrorKind, status> = {
  "invalid-argument": status.INVALID_ARGUMENT,
  "not-found": status.NOT_FOUND,
  "already-exists": status.ALREADY_EXISTS,
  "failed-precondition": status.FAILED_PRECONDITION,
  "permission-denied": status.PERMISSION_DENIED,
  unauthenticated: status.UNAUTHENTICATED,
  "resource-exhausted": status.RESOURCE_EXHAUSTED,
  unavailable: status.UNAVAILABLE,
  unimplemented: status.UNIMPLEMENTED,
  cancelled: status.CANCELLED,
  "deadline-exceeded": status.DEADLINE_EXCEEDED,
  "data-loss": status.DATA_LOSS,
  internal: status.INTERNAL,
};

/** Longest message sent: it travels in a header, and clients bound the size of those. */
const MAX_DETAILS = 4096;

export interface RpcStatus {
  code: status;
  /** The error's message, never its stack. */
  details: string;
}

/**
 * What to answer for anything thrown. When the call was aborted, the reason of the abort counts and not what broke
 * because of it.
 */
export function rpcStatus(error: unknown, signal: AbortSignal): RpcStatus {
  const kind = errorKind(error);
  const cause: unknown = kind === "internal" && signal.aborted ? signal.reason : error;
  // Half a surrogate pair, from a request that was not UTF-8, could not be percent-encoded.
  const message = errorMessage(cause).toWellFormed();
  const details = message.length > MAX_DETAILS ? `${message.slice(0, MAX_DETAILS)}…` : message;
  return { code: CODES[errorKind(cause)], details: details.toWellFormed() };
}
