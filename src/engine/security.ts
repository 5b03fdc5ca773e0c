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
