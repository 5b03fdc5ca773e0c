/** Checks of a pod sandbox's configuration that need nothing but it and the daemon's handlers. */
import { isAbsolute, normalize } from "node:path";
import { GantryError, wrapError } from "../base/errors.ts";
import { checkSysctls } from "../base/sysctl.ts";
import type { SysctlWrite } from "../native/netlink.ts";
import type { EngineContext } from "./engine-context.ts";
import type { PodSandboxConfig } from "./pod-sandbox.ts";
import { checkPodUserNamespace } from "./pod-user-namespace.ts";
import { runtimeHandler as runtimeHandlerOf } from "./runtime-handler.ts";

/** @throws invalid-argument, failed-precondition, unimplemented; nothing has been changed then. */
export function checkPodSandboxConfig(
  context: EngineContext,
  config: PodSandboxConfig,
  runtimeHandler: string,
): void {
  const handler = runtimeHandlerOf(context, runtimeHandler);
  handler.external?.check();
  const { namespaces } = config;
  if (namespaces.network !== "pod" && namespaces.network !== "node")
    throw invalid(`network namespace mode "${namespaces.network}" is not for a pod`);
  if (namespaces.ipc !== "pod" && namespaces.ipc !== "node")
    throw invalid(`ipc namespace mode "${namespaces.ipc}" is not for a pod`);
  if (namespaces.pid === "target") throw invalid(`pid namespace mode "target" is for a container`);
  checkPodUserNamespace(config, handler);
  if (config.hostname.length > 64) throw invalid(`hostname "${config.hostname}" is longer than 64 bytes`);
  if (config.logDirectory !== "" && !isPlainAbsolute(config.logDirectory))
    throw invalid(`log directory "${config.logDirectory}" is not a plain absolute path`);
  checkCgroupParent(context, config.cgroupParent);
  podSysctls(config);
}

/** A pod's sysctls, parted by when they can be written. */
export interface PodSysctls {
  /** With the namespaces. */
  early: SysctlWrite[];
  /** Of interfaces that the network makes: "net/ipv4/conf/eth0/accept_redirects". */
  ofInterfaces: SysctlWrite[];
}

/** The pod's sysctls as they are written in its namespaces. @throws invalid-argument. */
export function podSysctls(config: PodSandboxConfig): PodSysctls {
  const { namespaces } = config;
  const network = namespaces.network !== "node";
  // The UTS namespace goes with the network's.
  const own = { network, ipc: namespaces.ipc !== "node", uts: network };
  const sysctls: PodSysctls = { early: [], ofInterfaces: [] };
  for (const { path, value } of checkSysctls(config.sysctls, own)) {
    const late = /^net\/[^/]+\/(?:conf|neigh)\/(?!(?:all|default|lo)\/)[^/]+\//.test(path);
    (late ? sysctls.ofInterfaces : sysctls.early).push([path, value]);
  }
  return sysctls;
}

/** An absolute path that is its own normal form: no "..", no ".", nothing empty between slashes. */
export function isPlainAbsolute(path: string): boolean {
  return (
    isAbsolute(path) &&
    normalize(path).replace(/(.)\/$/, "$1") === path.replace(/(.)\/$/, "$1") &&
    !path.includes("\0")
  );
}

function checkCgroupParent({ cgroups }: Pick<EngineContext, "cgroups">, path: string): void {
  if (path === "") return;
  if (path.split("/").some((part) => part === ".." || part === ".") || path.includes("\0"))
    throw invalid(`cgroup parent "${path}" has a part that is not a name`);
  if (cgroups.driver === "cgroupfs") return;
  try {
    cgroups.containerPath(path, "container");
  } catch (error) {
    throw wrapError(`pod sandbox: the cgroup driver is ${cgroups.driver}`, error);
  }
}

function invalid(message: string): GantryError {
  return new GantryError("invalid-argument", `pod sandbox: ${message}`);
}
