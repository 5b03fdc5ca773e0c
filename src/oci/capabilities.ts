/**
 * Capabilities by name and number (capabilities(7), include/uapi/linux/capability.h), and the sets that a
 * container gets from a request to add and drop some.
 *
 * The inheritable and ambient sets stay empty unless ambient capabilities are asked for (CVE-2022-29162 and its
 * relatives). NET_RAW is not in the default set (CVE-2020-10749).
 */
import { GantryError } from "../base/errors.ts";
import type { Capabilities } from "./runtime-spec.ts";

/** Indexed by number. */
export const CAPABILITY_NAMES: readonly string[] = Object.freeze(
  (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE " +
    "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT " +
    "SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE " +
    "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ " +
    "PERFMON BPF CHECKPOINT_RESTORE"
  )
    .split(" ")
    .map((name) => `CAP_${name}`),
);

const NUMBERS = new Map(CAPABILITY_NAMES.map((name, number) => [name, number]));

/** What a container has that asks for nothing. */
export const DEFAULT_CAPABILITIES: readonly string[] = Object.freeze([
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETPCAP",
  "CAP_NET_BIND_SERVICE",
  "CAP_SYS_CHROOT",
  "CAP_MKNOD",
  "CAP_AUDIT_WRITE",
  "CAP_SETFCAP",
]);

/** The name with prefix and in upper case, of "chown", "CHOWN" or "CAP_CHOWN". @throws invalid-argument. */
export function capabilityName(text: string): string {
  const upper = text.toUpperCase();
  const name = upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
  if (!NUMBERS.has(name))
    throw new GantryError("invalid-argument", `unknown capability ${JSON.stringify(text)}`);
  return name;
}

/** Number of a name with prefix. @throws invalid-argument. */
export function capabilityNumber(name: string): number {
  const number = NUMBERS.get(name);
  if (number === undefined)
    throw new GantryError("invalid-argument", `unknown capability ${JSON.stringify(name)}`);
  return number;
}

/** The set as the kernel writes it: bit n is capability number n. */
export function capabilityMask(names: Iterable<string>): bigint {
  let mask = 0n;
  for (const name of names) mask |= 1n << BigInt(capabilityNumber(name));
  return mask;
}

/** Names of a mask's bits, in numerical order; bits beyond the last known name are left out. */
export function capabilityNames(mask: bigint): string[] {
  return CAPABILITY_NAMES.filter((_, number) => (mask >> BigInt(number)) & 1n);
}

export interface CapabilityRequest {
  /** Names with or without prefix, or "ALL". */
  add: readonly string[];
  /** As `add`. Drops win over the default set; an explicit add wins over "ALL" in drop, and the reverse. */
  drop: readonly string[];
  /** Added to all five sets, so that a process without uid 0 has them too. */
  addAmbient: readonly string[];
}

function isAll(name: string): boolean {
  return name.toUpperCase() === "ALL" || name.toUpperCase() === "CAP_ALL";
}

const cache = new Map<string, Capabilities>();
const CACHE_LIMIT = 256;

/**
 * The frozen sets of a container, restricted to what the host can give. A privileged one has all of it, whatever
 * it drops. Naming a capability that exists but that
 * this host lacks is no error for "ALL" and the default set, and is failed-precondition for an explicit add.
 * @param host what hostLimits() gives.
 * @throws GantryError invalid-argument for an unknown name.
 */
export function containerCapabilities(
  request: CapabilityRequest,
  privileged: boolean,
  host: { readonly capabilities: bigint },
): Capabilities {
  const key = JSON.stringify([
    privileged,
    request.add,
    request.drop,
    request.addAmbient,
    String(host.capabilities),
  ]);
  let found = cache.get(key);
  if (!found) {
    found = compute(request, privileged, host.capabilities);
    if (cache.size >= CACHE_LIMIT) cache.clear();
    cache.set(key, found);
  }
  return found;
}

function compute(request: CapabilityRequest, privileged: boolean, available: bigint): Capabilities {
  const explicit = (names: readonly string[]): bigint =>
    capabilityMask(names.filter((n) => !isAll(n)).map(capabilityName));
  const added = explicit(request.add) | explicit(request.addAmbient);
  const dropped = explicit(request.drop);
  const missing = added & ~available;
  if (missing !== 0n) {
    throw new GantryError(
      "failed-precondition",
      `this host cannot give ${capabilityNames(missing).join(", ")}`,
    );
  }
  let mask = capabilityMask(DEFAULT_CAPABILITIES);
  if (request.add.some(isAll)) mask = available;
  if (request.drop.some(isAll)) mask = 0n;
  mask = privileged ? available : (mask | added) & ~dropped & available;
  const names = Object.freeze(capabilityNames(mask)) as string[];
  const ambientMask = request.addAmbient.some(isAll) ? mask : explicit(request.addAmbient) & mask;
  const ambient = Object.freeze(capabilityNames(ambientMask)) as string[];
  return Object.freeze({
    bounding: names,
    effective: names,
    permitted: names,
    inheritable: ambient,
    ambient,
  });
}
