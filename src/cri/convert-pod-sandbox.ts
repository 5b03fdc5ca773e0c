/** Pod sandboxes, both ways. */
import { isIP } from "node:net";
import type {
  PodSandbox,
  PodSandboxConfig,
  PodSandboxFilter,
  PodSandboxMetadata,
  PodSandboxState,
  PortMapping,
} from "../engine/pod-sandbox.ts";
import { namespaceOptionMessage, namespaceOptions } from "./convert-namespaces.ts";
import { linuxResources } from "./convert-resources.ts";
import { groupIds, securityProfile, selinuxLabel, userId } from "./convert-security.ts";
import type { DNSConfig__Output } from "./generated/runtime/v1/DNSConfig.ts";
import type { LinuxSandboxSecurityContext__Output } from "./generated/runtime/v1/LinuxSandboxSecurityContext.ts";
import type { PodSandbox as PodSandboxMessage } from "./generated/runtime/v1/PodSandbox.ts";
import type { PodSandboxConfig__Output } from "./generated/runtime/v1/PodSandboxConfig.ts";
import type { PodSandboxFilter__Output } from "./generated/runtime/v1/PodSandboxFilter.ts";
import type { PodSandboxMetadata__Output } from "./generated/runtime/v1/PodSandboxMetadata.ts";
import type { PodSandboxState__Output } from "./generated/runtime/v1/PodSandboxState.ts";
import type { PodSandboxStatus } from "./generated/runtime/v1/PodSandboxStatus.ts";
import type { PortMapping__Output } from "./generated/runtime/v1/PortMapping.ts";
import {
  absolutePath,
  choice,
  integer,
  invalid,
  noParentParts,
  nonEmpty,
  plainName,
  required,
  text,
  texts,
} from "./request-field.ts";

const STATES = { SANDBOX_READY: "ready", SANDBOX_NOTREADY: "notready" } as const;
const STATE_NAMES: Readonly<Record<PodSandboxState, PodSandboxState__Output>> = {
  ready: "SANDBOX_READY",
  notready: "SANDBOX_NOTREADY",
};
const PROTOCOLS = { TCP: "tcp", UDP: "udp", SCTP: "sctp" } as const;

export function podSandboxConfig(config: PodSandboxConfig__Output, field: string): PodSandboxConfig {
  const { linux, dns_config: dns } = config;
  const context = linux?.security_context ?? null;
  const logDirectory = config.log_directory;
  if (logDirectory !== "") {
    absolutePath(logDirectory, `${field}.log_directory`);
    noParentParts(logDirectory, `${field}.log_directory`);
  }
  return {
    metadata: podSandboxMetadata(required(config.metadata, `${field}.metadata`), `${field}.metadata`),
    hostname: config.hostname === "" ? "" : plainName(config.hostname, `${field}.hostname`),
    logDirectory,
    ...(dns ? { dns: dnsConfig(dns, `${field}.dns_config`) } : {}),
    portMappings: config.port_mappings.map((mapping, index) =>
      portMapping(mapping, `${field}.port_mappings[${index}]`),
    ),
    labels: config.labels,
    annotations: config.annotations,
    cgroupParent: noParentParts(linux?.cgroup_parent ?? "", `${field}.linux.cgroup_parent`),
    sysctls: linux?.sysctls ?? {},
    ...podSecurity(context, `${field}.linux.security_context`),
    ...(linux?.overhead ? { overhead: linuxResources(linux.overhead, `${field}.linux.overhead`) } : {}),
    ...(linux?.resources ? { resources: linuxResources(linux.resources, `${field}.linux.resources`) } : {}),
  };
}

/** All three names are part of the pod's identity, and are shown and compared (CVE-2025-0750). */
function podSandboxMetadata(metadata: PodSandboxMetadata__Output, field: string): PodSandboxMetadata {
  return {
    name: plainName(metadata.name, `${field}.name`),
    uid: plainName(metadata.uid, `${field}.uid`),
    namespace: plainName(metadata.namespace, `${field}.namespace`),
    attempt: metadata.attempt,
  };
}

type PodSecurity = Pick<
  PodSandboxConfig,
  "namespaces" | "privileged" | "readonlyRootfs" | "seccomp" | "apparmor" | "selinux"
>;

function podSecurity(context: LinuxSandboxSecurityContext__Output | null, field: string): PodSecurity {
  if (context?.run_as_group && !context.run_as_user)
    throw invalid(`${field}.run_as_group`, "is given without run_as_user");
  // A sandbox has no process of the pod's: its user and groups are checked, and then of no use.
  if (context?.run_as_user) userId(context.run_as_user, `${field}.run_as_user`);
  if (context?.run_as_group) userId(context.run_as_group, `${field}.run_as_group`);
  groupIds(context?.supplemental_groups ?? [], `${field}.supplemental_groups`);
  const seccomp =
    context && securityProfile(context.seccomp, context.seccomp_profile_path, `${field}.seccomp`);
  const apparmor = context && securityProfile(context.apparmor, "", `${field}.apparmor`);
  const selinux = context && selinuxLabel(context.selinux_options, `${field}.selinux_options`);
  return {
    namespaces: namespaceOptions(context?.namespace_options ?? null, `${field}.namespace_options`),
    privileged: context?.privileged ?? false,
    readonlyRootfs: context?.readonly_rootfs ?? false,
    ...(seccomp ? { seccomp } : {}),
    ...(apparmor ? { apparmor } : {}),
    ...(selinux ? { selinux } : {}),
  };
}

function dnsConfig(dns: DNSConfig__Output, field: string): NonNullable<PodSandboxConfig["dns"]> {
  const words = (values: readonly string[], name: string): string[] =>
    texts(values, `${field}.${name}`).map((value, index) => {
      if (/[\s]/.test(nonEmpty(value, `${field}.${name}[${index}]`)))
        throw invalid(`${field}.${name}[${index}]`, `${JSON.stringify(value)} has white space in it`);
      return value;
    });
  return {
    servers: words(dns.servers, "servers"),
    searches: words(dns.searches, "searches"),
    options: words(dns.options, "options"),
  };
}

function portMapping(mapping: PortMapping__Output, field: string): PortMapping {
  const hostIp = text(mapping.host_ip, `${field}.host_ip`);
  if (hostIp !== "" && isIP(hostIp) === 0)
    throw invalid(`${field}.host_ip`, `${JSON.stringify(hostIp)} is not an IP address`);
  return {
    protocol: choice(PROTOCOLS, mapping.protocol, `${field}.protocol`),
    containerPort: integer(mapping.container_port, `${field}.container_port`, 1, 65535),
    hostPort: integer(mapping.host_port, `${field}.host_port`, 0, 65535),
    hostIp,
  };
}

export function podSandboxFilter(filter: PodSandboxFilter__Output | null): PodSandboxFilter {
  if (!filter) return {};
  return {
    ...(filter.id === "" ? {} : { id: filter.id }),
    ...(filter.state ? { state: choice(STATES, filter.state.state, "filter.state.state") } : {}),
    labels: filter.label_selector,
  };
}

export function podSandboxMessage(sandbox: PodSandbox): PodSandboxMessage {
  return {
    id: sandbox.id,
    metadata: sandbox.config.metadata,
    state: STATE_NAMES[sandbox.state],
    created_at: sandbox.createdAtNs.toString(),
    labels: sandbox.config.labels,
    annotations: sandbox.config.annotations,
    runtime_handler: sandbox.runtimeHandler,
  };
}

export function podSandboxStatusMessage(sandbox: PodSandbox): PodSandboxStatus {
  const [ip = "", ...others] = sandbox.ips;
  return {
    ...podSandboxMessage(sandbox),
    network: { ip, additional_ips: others.map((other) => ({ ip: other })) },
    linux: { namespaces: { options: namespaceOptionMessage(sandbox.config.namespaces) } },
  };
}
