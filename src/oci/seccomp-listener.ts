/**
 * What a seccomp agent gets with a listener: the container process state (config-linux.md, "The Container Process
 * State"). It is JSON in parts, as the pid of the process is known to the native half only, and comes between two.
 */
import type { Seccomp } from "./runtime-spec.ts";
import { OCI_VERSION } from "./spec-defaults.ts";

/** @param state the container's (runtime.md, "State"); without a pid, that of the process. */
export function listenerState(seccomp: Seccomp, state: Record<string, unknown>): string[] {
  const { pid, ...known } = state;
  const text = JSON.stringify({
    ociVersion: OCI_VERSION,
    fds: ["seccompFd"],
    ...(seccomp.listenerMetadata ? { metadata: seccomp.listenerMetadata } : {}),
    state: { ...known, ...(pid === undefined ? {} : { pid }) },
  });
  // The braces of the state and of the whole are last.
  if (pid !== undefined) return [`${text.slice(0, -1)},"pid":`, "}"];
  const separator = Object.keys(known).length === 0 ? "" : ",";
  return [`${text.slice(0, -2)}${separator}"pid":`, `},"pid":`, "}"];
}
