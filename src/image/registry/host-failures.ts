/** What to tell the user when every host of a registry has failed. */
import { errorMessage, GantryError } from "../../base/errors.ts";
import type { HostSession } from "./session.ts";

export interface HostFailure {
  session: HostSession;
  error: unknown;
}

/**
 * One error for all: the registry's own answer decides the kind, what the mirrors said follows.
 *
 * @param what put before the message: "" or "blob sha256:…: ".
 * @param failures in the order of the attempts.
 */
export function combineFailures(what: string, failures: readonly HostFailure[]): GantryError {
  const main = failures.findLast(({ session }) => session.host.isServer) ?? failures.at(-1);
  if (!main) return new GantryError("failed-precondition", `${what}no configured host may be asked`);
  const kind = main.error instanceof GantryError ? main.error.kind : "internal";
  const others = failures.filter((failure) => failure !== main).map(({ error }) => errorMessage(error));
  const more = others.length > 0 ? ` (others said: ${others.join("; ")})` : "";
  return new GantryError(
    kind,
    `${what}${kind === "not-found" ? "not found: " : ""}${errorMessage(main.error)}${more}`,
    {
      cause: main.error,
    },
  );
}
