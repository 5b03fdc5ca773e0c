/**
 * Which kernel parameters a container may set: those of a namespace that is its own, and no others. Values are
 * plain text of one line; they are written to a verified file of procfs and never pass through a command line
 * (CVE-2022-0811, CVE-2022-0532).
 */
import { GantryError } from "../base/errors.ts";

/** The namespaces whose parameters exist for this container alone, or for its pod. */
export interface OwnNamespaces {
  network: boolean;
  ipc: boolean;
  uts: boolean;
}

const IPC_NAMES = new Set([
  "kernel.msgmax",
  "kernel.msgmnb",
  "kernel.msgmni",
  "kernel.sem",
  "kernel.shmall",
  "kernel.shmmax",
  "kernel.shmmni",
  "kernel.shm_rmid_forced",
  "kernel.auto_msgmni",
  "kernel.msg_next_id",
  "kernel.sem_next_id",
  "kernel.shm_next_id",
]);

/** kernel.hostname is not here: the hostname has a field of its own. */
const UTS_NAMES = new Set(["kernel.domainname"]);

/**
 * The name with dots, of "net.ipv4.ip_forward" or "net/ipv4/ip_forward". As in sysctl(8), whichever of dot and
 * slash comes first separates, and the other belongs to a name: "net/ipv4/conf/eth0.1/x" is "net.ipv4.conf.eth0/1.x".
 */
export function normalizeSysctl(name: string): string {
  const separator = /[./]/.exec(name)?.[0];
  if (separator !== "/") return name;
  return name.replace(/[./]/g, (character) => (character === "/" ? "." : "/"));
}

/** @throws GantryError invalid-argument for a malformed or unknown one, and one of a namespace that is the host's. */
export function checkSysctls(sysctls: Readonly<Record<string, string>>, own: OwnNamespaces): void {
  for (const [given, value] of Object.entries(sysctls)) {
    const name = normalizeSysctl(given);
    if (!/^[a-z0-9_-]+(\.[A-Za-z0-9_/@:*-]+)+$/.test(name) || /(^|[./])\.*([./]|$)/.test(name)) {
      throw new GantryError("invalid-argument", `sysctl ${JSON.stringify(given)} is malformed`);
    }
    if (!/^[\x20-\x7e\t]*$/.test(value) || /[+=]/.test(value) || value.length > 4096) {
      throw new GantryError(
        "invalid-argument",
        `sysctl ${given}: the value ${JSON.stringify(value)} is malformed`,
      );
    }
    const namespace = owner(name);
    if (!namespace) throw new GantryError("invalid-argument", `sysctl ${given} belongs to no namespace`);
    if (!own[namespace]) {
      throw new GantryError(
        "invalid-argument",
        `sysctl ${given} needs a ${namespace} namespace that is not the host's`,
      );
    }
  }
}

function owner(name: string): keyof OwnNamespaces | undefined {
  if (name.startsWith("net.")) return "network";
  if (name.startsWith("fs.mqueue.") || IPC_NAMES.has(name)) return "ipc";
  if (UTS_NAMES.has(name)) return "uts";
  return undefined;
}
