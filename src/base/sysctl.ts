/**
 * Which kernel parameters a pod or a container may set: those of a namespace that is its own, and no others
 * (CVE-2022-0532: with the host's network or IPC they would change the host). Names become path segments here; values
 * are one plain line, written to a verified file of procfs and never part of a command line (CVE-2022-0811 smuggled
 * a second parameter through a value).
 */
import { GantryError } from "./errors.ts";

/** The kinds of namespaces that have parameters of their own (namespaces(7)). */
export type SysctlNamespace = "network" | "ipc" | "uts";

export interface CheckedSysctl {
  namespace: SysctlNamespace;
  /** Segments below /proc/sys, joined by "/": "net/ipv4/conf/eth0.5/forwarding". */
  path: string;
  value: string;
}

const SEGMENT = /^[A-Za-z0-9_][A-Za-z0-9_.:@-]*$/;
const LIMIT_VALUE_BYTES = 4096;

/** ipc_namespaces(7), and the newest of them from ipc/ipc_sysctl.c; fs.mqueue.* are of it, too. */
const IPC_NAMES = new Set([
  "auto_msgmni",
  "msg_next_id",
  "msgmax",
  "msgmnb",
  "msgmni",
  "sem",
  "sem_next_id",
  "shm_next_id",
  "shm_rmid_forced",
  "shmall",
  "shmmax",
  "shmmni",
]);

/**
 * Checks all and gives them as they are to be written. Names may be written with dots or slashes; as in sysctl(8), the
 * first separator decides, and the other one then stands for a dot within a segment: "net/ipv4/conf/eth0.5/forwarding"
 * is "net.ipv4.conf.eth0/5.forwarding".
 *
 * @param own the namespaces that are not the host's.
 * @throws GantryError invalid-argument that names the sysctl.
 */
export function checkSysctls(
  sysctls: Readonly<Record<string, string>>,
  own: Readonly<Record<SysctlNamespace, boolean>>,
): CheckedSysctl[] {
  return Object.entries(sysctls).map(([name, value]) => {
    const segments = parseName(name);
    const namespace = namespaceOf(segments);
    if (namespace === undefined) throw refused(name, "belongs to no namespace");
    if (!own[namespace]) throw refused(name, `is not allowed with the host's ${namespace} namespace`);
    if (/[^\t\x20-\x7e]|[+=]/.test(value) || value.length > LIMIT_VALUE_BYTES)
      throw refused(name, "has a value that is not one plain line of ASCII");
    return { namespace, path: segments.join("/"), value };
  });
}

function parseName(name: string): string[] {
  const separator = /[./]/.exec(name)?.[0] ?? ".";
  const segments = name
    .split(separator)
    .map((segment) => (separator === "." ? segment.replaceAll("/", ".") : segment));
  if (segments.length < 2 || segments.some((segment) => !SEGMENT.test(segment)))
    throw refused(name, "is not a sysctl name");
  return segments;
}

function namespaceOf(segments: readonly string[]): SysctlNamespace | undefined {
  const [top, second = "", ...more] = segments;
  if (top === "net") return "network";
  if (top === "fs" && second === "mqueue" && more.length === 1) return "ipc";
  if (top !== "kernel" || more.length > 0) return undefined;
  if (IPC_NAMES.has(second)) return "ipc";
  // Not the hostname: it has a field of its own.
  return second === "domainname" ? "uts" : undefined;
}

function refused(name: string, why: string): GantryError {
  return new GantryError("invalid-argument", `sysctl ${JSON.stringify(name)} ${why}`);
}
