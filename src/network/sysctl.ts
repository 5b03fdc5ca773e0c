/**
 * Which sysctls a pod may set: those of the namespaces that are its own, and no others (CVE-2022-0532: with the
 * host's network or IPC they would change the host). Names become path segments here; values are single lines
 * (CVE-2022-0811 smuggled a second sysctl through a value).
 */
import { GantryError } from "../base/errors.ts";
import type { SysctlWrite } from "../native/netlink.ts";

export interface SysctlScope {
  /** The pod uses the host's network namespace. */
  hostNetwork: boolean;
  /** The pod uses the host's IPC namespace. */
  hostIpc: boolean;
}

/** Sysctls of a pod, by the namespace they are written in; both are written by the same thread. */
export interface CheckedSysctls {
  net: SysctlWrite[];
  ipc: SysctlWrite[];
}

const SEGMENT = /^[A-Za-z0-9_][A-Za-z0-9_.:@-]*$/;
const LIMIT_VALUE_BYTES = 1024;

/**
 * Sorts and checks a pod's sysctls. Names may be written with dots or slashes; as in sysctl(8), the first separator
 * decides, and the other one is then part of a segment ("net/ipv4/conf/eth0.5/forwarding").
 *
 * @throws GantryError invalid-argument that names the sysctl.
 */
export function checkSysctls(sysctls: Readonly<Record<string, string>>, scope: SysctlScope): CheckedSysctls {
  const checked: CheckedSysctls = { net: [], ipc: [] };
  for (const [name, value] of Object.entries(sysctls)) {
    const segments = parseSysctlName(name);
    const kind = sysctlNamespace(segments);
    if (kind === undefined) throw refused(name, "does not belong to a namespace of the pod");
    if (kind === "net" && scope.hostNetwork) throw refused(name, "is not allowed with the host's network");
    if (kind === "ipc" && scope.hostIpc) throw refused(name, "is not allowed with the host's IPC namespace");
    if (/[^\t\x20-\x7e]/.test(value) || value.length > LIMIT_VALUE_BYTES) {
      throw refused(name, "has a value that is not one short line of ASCII");
    }
    checked[kind].push([segments.join("/"), value]);
  }
  return checked;
}

/** The path segments below /proc/sys. @throws GantryError invalid-argument. */
export function parseSysctlName(name: string): string[] {
  const separator = /[./]/.exec(name)?.[0] ?? ".";
  const segments = name
    .split(separator)
    .map((segment) => (separator === "." ? segment.replaceAll("/", ".") : segment));
  if (segments.length < 2 || segments.some((segment) => !SEGMENT.test(segment))) {
    throw refused(name, "is not a sysctl name");
  }
  return segments;
}

/** The namespace that a sysctl belongs to, from the kernel's own list (namespaces(7), ipc_namespaces(7)). */
export function sysctlNamespace(segments: readonly string[]): "net" | "ipc" | undefined {
  const [top, second = ""] = segments;
  if (top === "net") return "net";
  if (top === "fs" && second === "mqueue" && segments.length === 3) return "ipc";
  if (top === "kernel" && segments.length === 2 && /^(shm|msg|sem$)/.test(second)) return "ipc";
  return undefined;
}

function refused(name: string, why: string): GantryError {
  return new GantryError("invalid-argument", `sysctl ${JSON.stringify(name)} ${why}`);
}
