/** Security of pods and containers: profiles, labels, users, capabilities. */
import { type ContainerSecurity, NO_SECURITY } from "../engine/container.ts";
import type { SecurityProfile, SelinuxLabel } from "../engine/security.ts";
import { namespaceOptions } from "./convert-namespaces.ts";
import type { Int64Value__Output } from "./generated/runtime/v1/Int64Value.ts";
import type { LinuxContainerSecurityContext__Output } from "./generated/runtime/v1/LinuxContainerSecurityContext.ts";
import type { SecurityProfile__Output } from "./generated/runtime/v1/SecurityProfile.ts";
import type { SELinuxOption__Output } from "./generated/runtime/v1/SELinuxOption.ts";
import { choice, integer, invalid, nonEmpty, text, texts } from "./request-field.ts";

/** Kubernetes' own bound for user and group ids. Larger ones have been taken for root elsewhere (CVE-2024-40635). */
const MAX_USER_ID = 2 ** 31 - 1;

const PROFILE_KINDS = {
  RuntimeDefault: "runtime-default",
  Unconfined: "unconfined",
  Localhost: "localhost",
} as const;

export function containerSecurity(
  context: LinuxContainerSecurityContext__Output | null,
  field: string,
): ContainerSecurity {
  if (!context) return NO_SECURITY;
  const { capabilities } = context;
  const namespaces =
    context.namespace_options && namespaceOptions(context.namespace_options, `${field}.namespace_options`);
  const selinux = selinuxLabel(context.selinux_options, `${field}.selinux_options`);
  const seccomp = securityProfile(context.seccomp, context.seccomp_profile_path, `${field}.seccomp`);
  const apparmor = securityProfile(context.apparmor, context.apparmor_profile, `${field}.apparmor`);
  return {
    addCapabilities: texts(capabilities?.add_capabilities ?? [], `${field}.capabilities.add_capabilities`),
    dropCapabilities: texts(capabilities?.drop_capabilities ?? [], `${field}.capabilities.drop_capabilities`),
    addAmbientCapabilities: texts(
      capabilities?.add_ambient_capabilities ?? [],
      `${field}.capabilities.add_ambient_capabilities`,
    ),
    privileged: context.privileged,
    ...(namespaces ? { namespaces } : {}),
    ...(selinux ? { selinux } : {}),
    ...runAs(context, field),
    readonlyRootfs: context.readonly_rootfs,
    supplementalGroups: groupIds(context.supplemental_groups, `${field}.supplemental_groups`),
    supplementalGroupsPolicy: choice(
      { Merge: "merge", Strict: "strict" } as const,
      context.supplemental_groups_policy,
      `${field}.supplemental_groups_policy`,
    ),
    noNewPrivs: context.no_new_privs,
    maskedPaths: texts(context.masked_paths, `${field}.masked_paths`),
    readonlyPaths: texts(context.readonly_paths, `${field}.readonly_paths`),
    ...(seccomp ? { seccomp } : {}),
    ...(apparmor ? { apparmor } : {}),
  };
}

type RunAs = Pick<ContainerSecurity, "runAsUser" | "runAsGroup" | "runAsUsername">;

/** A user by number or by name but not both, and a group only with a user. */
function runAs(context: LinuxContainerSecurityContext__Output, field: string): RunAs {
  const { run_as_user: user, run_as_group: group, run_as_username: username } = context;
  if (user && username !== "")
    throw invalid(`${field}.run_as_user`, "is given together with run_as_username");
  if (group && !user && username === "")
    throw invalid(`${field}.run_as_group`, "is given without run_as_user or run_as_username");
  return {
    runAsUsername: text(username, `${field}.run_as_username`),
    ...(user ? { runAsUser: userId(user, `${field}.run_as_user`) } : {}),
    ...(group ? { runAsGroup: userId(group, `${field}.run_as_group`) } : {}),
  };
}

/** A user or group id. */
export function userId(value: Int64Value__Output, field: string): number {
  return integer(value.value, field, 0, MAX_USER_ID);
}

export function groupIds(values: readonly string[], field: string): number[] {
  return values.map((value, index) => integer(value, `${field}[${index}]`, 0, MAX_USER_ID));
}

/**
 * A seccomp or AppArmor profile.
 * @param legacy the deprecated text form, which counts only when the message is absent: "runtime/default",
 * "docker/default" (its older name), "unconfined" or "localhost/" and a reference.
 */
export function securityProfile(
  profile: SecurityProfile__Output | null,
  legacy: string,
  field: string,
): SecurityProfile | undefined {
  if (profile) {
    const kind = choice(PROFILE_KINDS, profile.profile_type, `${field}.profile_type`);
    if (kind !== "localhost") return { kind, localhostRef: "" };
    return { kind, localhostRef: nonEmpty(profile.localhost_ref, `${field}.localhost_ref`) };
  }
  if (legacy === "") return undefined;
  if (legacy === "runtime/default" || legacy === "docker/default")
    return { kind: "runtime-default", localhostRef: "" };
  if (legacy === "unconfined") return { kind: "unconfined", localhostRef: "" };
  const local = /^localhost\/(.+)$/s.exec(legacy)?.[1];
  if (local === undefined) throw invalid(field, `${JSON.stringify(legacy)} is no profile`);
  return { kind: "localhost", localhostRef: text(local, field) };
}

/** A label with nothing in it is none. */
export function selinuxLabel(option: SELinuxOption__Output | null, field: string): SelinuxLabel | undefined {
  if (!option || (!option.user && !option.role && !option.type && !option.level)) return undefined;
  return {
    user: text(option.user, `${field}.user`),
    role: text(option.role, `${field}.role`),
    type: text(option.type, `${field}.type`),
    level: text(option.level, `${field}.level`),
  };
}
