/** Identifiers of pods, containers and execs: 64 lower case hex digits from the system's random source. */
import { randomBytes } from "node:crypto";

export function newIdentifier(): string {
  return randomBytes(32).toString("hex");
}
