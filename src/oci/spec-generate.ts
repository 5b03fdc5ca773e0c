/**
 * Generates the OCI runtime configuration of a container from what was asked for and the defaults.
 *
 * Pure: the same input gives the same spec. What does not depend on the input is a frozen constant, so a spec
 * must not be changed by whoever gets it; copy what you change.
 */
import { GantryError } from "../base/errors.ts";
import { checkSysctls } from "../base/sysctl.ts";
import { containerCapabilities } from "./capabilities.ts";
import { hostLimits, type HostLimits } from "./host-limits.ts";
import { permittedOomScore } from "./oom-score.ts";
import {
  NAMESPACE_TYPES,
  type Linux,
  type Process,
  type Resources,
  type Seccomp,
  type Spec,
} from "./runtime-spec.ts";
import { defaultSeccomp } from "./seccomp-default-profile.ts";
import { DEFAULT_MASKED_PATHS, DEFAULT_PATH, DEFAULT_READONLY_PATHS, OCI_VERSION } from "./spec-defaults.ts";
import { ALLOW_ALL_DEVICES, RESTRICTED_DEVICES } from "./spec-defaults.ts";
import type { SpecInput } from "./spec-input.ts";
import { rootfsPropagation, specMounts } from "./spec-mounts.ts";
import { resourcesFromLimits } from "./spec-resources.ts";

/**
 * @throws GantryError invalid-argument for what no container can have: unknown capabilities, malformed mounts,
 *   sysctls of the host, an empty command.
 */
export function generateSpec(input: SpecInput, host: HostLimits = hostLimits()): Spec {
  const process = specProcess(input, host);
  const spec: Spec = {
    ociVersion: OCI_VERSION,
    process,
    root: { path: input.rootfs.path, readonly: input.rootfs.readonly },
    mounts: specMounts(input),
    annotations: input.annotations,
    linux: specLinux(input, process),
  };
  if (input.hostname) spec.hostname = input.hostname;
  if (input.domainname) spec.domainname = input.domainname;
  return spec;
}

function specProcess(input: SpecInput, host: HostLimits): Process {
  const { process } = input;
  if (process.args.length === 0 || process.args[0] === "")
    throw new GantryError("invalid-argument", "no command to run");
  const cwd = process.cwd === "" ? "/" : process.cwd;
  if (!cwd.startsWith("/"))
    throw new GantryError("invalid-argument", `working directory ${JSON.stringify(cwd)} is not absolute`);
  const result: Process = {
    terminal: process.terminal,
    user: { uid: process.user.uid, gid: process.user.gid, additionalGids: process.user.additionalGids },
    args: process.args,
    env: processEnvironment(process.env, process.terminal, process.home, input.hostname),
    cwd,
    capabilities: containerCapabilities(process.capabilities, input.privileged, host),
    noNewPrivileges: process.noNewPrivileges,
    oomScoreAdj: permittedOomScore(input.resources.oomScoreAdj, host),
  };
  if (process.apparmorProfile) result.apparmorProfile = process.apparmorProfile;
  if (process.selinuxLabel) result.selinuxLabel = process.selinuxLabel;
  if (process.rlimits?.length) result.rlimits = process.rlimits;
  return result;
}

/**
 * One entry for each key, the last one given, at the place of the first. PATH, HOME, HOSTNAME and TERM (for a
 * terminal) are added where they are missing.
 * @throws GantryError invalid-argument for an entry without a key, or with a NUL.
 */
export function processEnvironment(
  entries: readonly string[],
  terminal: boolean,
  home: string | undefined,
  hostname: string | undefined,
): string[] {
  const byKey = new Map<string, string>();
  for (const entry of entries) {
    const equals = entry.indexOf("=");
    const key = equals < 0 ? entry : entry.slice(0, equals);
    if (key === "" || entry.includes("\0")) {
      throw new GantryError("invalid-argument", `environment variable ${JSON.stringify(key)} is malformed`);
    }
    byKey.set(key, equals < 0 ? `${entry}=` : entry);
  }
  if (!byKey.has("PATH")) byKey.set("PATH", DEFAULT_PATH);
  if (hostname && !byKey.has("HOSTNAME")) byKey.set("HOSTNAME", `HOSTNAME=${hostname}`);
  if (home && !byKey.has("HOME")) byKey.set("HOME", `HOME=${home}`);
  if (terminal && !byKey.has("TERM")) byKey.set("TERM", "TERM=xterm");
  return [...byKey.values()];
}

function specLinux(input: SpecInput, process: Process): Linux {
  const { namespaces, privileged } = input;
  const own = (type: "network" | "ipc" | "uts"): boolean => (namespaces[type] ?? "host") !== "host";
  checkSysctls(input.sysctls, { network: own("network"), ipc: own("ipc"), uts: own("uts") });
  const linux: Linux = {
    namespaces: NAMESPACE_TYPES.flatMap((type) => {
      const choice = type === "mount" ? "new" : (namespaces[type] ?? "host");
      if (choice === "host") return [];
      return choice === "new" ? [{ type }] : [{ type, path: choice.path }];
    }),
    cgroupsPath: input.cgroupsPath,
    resources: specResources(input),
    rootfsPropagation: rootfsPropagation(input.mounts),
    maskedPaths: privileged ? [] : (input.maskedPaths ?? (DEFAULT_MASKED_PATHS as string[])),
    readonlyPaths: privileged ? [] : (input.readonlyPaths ?? (DEFAULT_READONLY_PATHS as string[])),
    sysctl: input.sysctls,
    devices: input.devices.map(({ device }) => device),
  };
  if (input.uidMappings?.length) linux.uidMappings = input.uidMappings;
  if (input.gidMappings?.length) linux.gidMappings = input.gidMappings;
  if (input.process.mountLabel) linux.mountLabel = input.process.mountLabel;
  const seccomp = specSeccomp(input, process);
  if (seccomp) linux.seccomp = seccomp;
  return linux;
}

function specResources(input: SpecInput): Resources {
  const resources = resourcesFromLimits(input.resources);
  if (input.privileged) return { ...resources, devices: [ALLOW_ALL_DEVICES] };
  return { ...resources, devices: [...RESTRICTED_DEVICES, ...input.devices.map(({ rule }) => rule)] };
}

function specSeccomp(input: SpecInput, process: Process): Seccomp | undefined {
  if (input.privileged) return undefined;
  switch (input.seccomp.kind) {
    case "unconfined":
      return undefined;
    case "profile":
      return input.seccomp.profile;
    case "default":
      return defaultSeccomp(process.capabilities?.bounding ?? []);
  }
}
