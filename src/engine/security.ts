/** Security profiles as a pod or container asks for them. */

export interface SecurityProfile {
  kind: "runtime-default" | "unconfined" | "localhost";
  /** Absolute host path (seccomp) or profile name (AppArmor) with kind "localhost". */
  localhostRef: string;
}

export interface SelinuxLabel {
  user: string;
  role: string;
  type: string;
  level: string;
}

/** `user:role:type:level`, as the kernel takes it; undefined where nothing is asked for. */
export function selinuxLabel(label: SelinuxLabel | undefined): string | undefined {
  if (!label || (label.user === "" && label.role === "" && label.type === "" && label.level === ""))
    return undefined;
  return [
    label.user || "system_u",
    label.role || "system_r",
    label.type || "container_t",
    label.level || "s0",
  ].join(":");
}
