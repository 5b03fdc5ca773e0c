/** Failures of the local disk, with the kind that tells a full disk from a broken one. */
import { errnoCode, errorKind, wrapError, type GantryError } from "../base/errors.ts";

export function diskError(context: string, cause: unknown): GantryError {
  const full = ["ENOSPC", "EDQUOT", "EMFILE", "ENFILE"].includes(errnoCode(cause) ?? "");
  return wrapError(context, cause, full ? "resource-exhausted" : errorKind(cause));
}
