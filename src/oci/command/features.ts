/**
 * `features`: what this runtime knows, as the specification has it (features.md, features-linux.md). It tells of the
 * runtime, not of the kernel it happens to run on.
 */
import { CAPABILITY_NAMES } from "../capabilities.ts";
import { MEMORY_POLICIES, MEMORY_POLICY_FLAGS } from "../plan-constants.ts";
import { KNOWN_MOUNT_OPTIONS } from "../plan-mount-options.ts";
import { NAMESPACE_TYPES } from "../runtime-spec.ts";
import { OCI_ARCHITECTURES } from "../seccomp-architecture.ts";
import { SECCOMP_ACTIONS, SECCOMP_FLAGS, SECCOMP_OPERATORS } from "../seccomp-rules.ts";
import { declareCommand } from "./command-declaration.ts";
import { print } from "./output.ts";

export const featuresCommand = declareCommand({
  arguments: [],
  options: {},
  run: () => print(`${JSON.stringify(features(), undefined, 4)}\n`),
});

export function features(): Record<string, unknown> {
  return {
    ociVersionMin: "1.0.0",
    ociVersionMax: "1.3.0",
    hooks: ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
    mountOptions: KNOWN_MOUNT_OPTIONS,
    linux: {
      namespaces: NAMESPACE_TYPES,
      capabilities: CAPABILITY_NAMES,
      cgroup: { v1: true, v2: true, systemd: true, systemdUser: false, rdma: true },
      seccomp: {
        enabled: true,
        actions: SECCOMP_ACTIONS,
        operators: SECCOMP_OPERATORS,
        archs: [...OCI_ARCHITECTURES.keys()],
        knownFlags: SECCOMP_FLAGS,
        supportedFlags: SECCOMP_FLAGS,
      },
      apparmor: { enabled: true },
      selinux: { enabled: true },
      intelRdt: { enabled: true, schemata: true, monitoring: true },
      memoryPolicy: { modes: Object.keys(MEMORY_POLICIES), flags: Object.keys(MEMORY_POLICY_FLAGS) },
      netDevices: { enabled: true },
      mountExtensions: { idmap: { enabled: true } },
    },
  };
}
