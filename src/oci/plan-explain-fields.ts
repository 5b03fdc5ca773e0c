/**
 * Which member of the configuration an operation comes from, and what a kernel lacks that has no such call, so that a
 * failure names both: `linux.memoryPolicy: this kernel has no NUMA memory policies`.
 */
import { RLIMITS } from "./plan-constants.ts";
import type { PlanOperation } from "./plan-decode.ts";

interface Field {
  /** In the configuration. */
  path: string;
  /** By the errno's name: why, in words. */
  reasons: Readonly<Record<string, string>>;
}

const CAPABILITY = (name: string): string => `this needs ${name}, which the runtime has not`;

function limit(resource: number, soft: bigint, hard: bigint): Field {
  const name = Object.entries(RLIMITS).find(([, number]) => number === resource)?.[0] ?? String(resource);
  return {
    path: `process.rlimits: ${name}`,
    reasons: {
      EPERM: `a hard limit of ${hard} is more than the runtime has, and it has no CAP_SYS_RESOURCE to raise it`,
      EINVAL:
        soft > hard
          ? `the soft limit ${soft} is more than the hard one ${hard}`
          : "the kernel has no such limit",
    },
  };
}

/** Undefined for operations that explain themselves. */
export function operationField(operation: PlanOperation): Field | undefined {
  switch (operation.name) {
    case "rlimit":
    case "parentRlimit":
      return limit(operation.values.resource, operation.values.soft, operation.values.hard);
    case "parentScheduler":
      return {
        path: "process.scheduler",
        reasons: {
          EPERM:
            "refused: CAP_SYS_NICE is missing, or the control group has no real-time budget (resources.cpu.realtimeRuntime)",
          EBUSY: "the deadline does not fit beside those that the processors have promised",
          EINVAL: "these values make no policy, or this kernel has it not",
          EOPNOTSUPP: "this kernel has no utilization clamping (CONFIG_UCLAMP_TASK)",
        },
      };
    case "ioPriority":
      return {
        path: "process.ioPriority",
        reasons: {
          EPERM: CAPABILITY("CAP_SYS_ADMIN or CAP_SYS_NICE"),
          ENOSYS: "this kernel has no I/O priorities",
        },
      };
    case "cpuAffinity":
      return {
        path: "process.execCPUAffinity",
        reasons: { EINVAL: "none of these processors is there and allowed by the control group" },
      };
    case "memoryPolicy":
      return {
        path: "linux.memoryPolicy",
        reasons: {
          ENOSYS: "this kernel has no NUMA memory policies (CONFIG_NUMA)",
          EINVAL: "this kernel has no such mode or node, or they do not go together",
          EPERM: CAPABILITY("CAP_SYS_NICE"),
        },
      };
    case "personality":
      return { path: "linux.personality", reasons: { EINVAL: "this kernel has no such personality" } };
    case "timeOffsets":
      return {
        path: "linux.timeOffsets",
        reasons: {
          EINVAL: "this kernel has no time namespaces (CONFIG_TIME_NS)",
          ERANGE: "no clock can have this offset",
          EPERM: CAPABILITY("CAP_SYS_TIME"),
        },
      };
    case "seccomp":
    case "seccompListen":
      return {
        path: "linux.seccomp",
        reasons: {
          EINVAL: "this kernel has no filters (CONFIG_SECCOMP_FILTER), or not these actions or flags",
          EBUSY: "there is a listener already, and the kernel has one for each process",
        },
      };
    case "parentListener":
      return {
        path: "linux.seccomp.listenerPath",
        reasons: {
          ENOENT: "nobody listens there",
          ECONNREFUSED: "nobody listens there",
          EAGAIN: "the agent takes no connection",
        },
      };
    case "parentNetDevice":
      return {
        path: `linux.netDevices: ${operation.values.host}`,
        reasons: {
          EEXIST: `the container's network namespace has an interface ${operation.values.name} already`,
          EINVAL: "this kind of interface stays in its network namespace",
          EOPNOTSUPP: "this kind of interface stays in its network namespace",
          EPERM: CAPABILITY("CAP_NET_ADMIN"),
          ENODEV: "no such interface",
        },
      };
    case "securityLabel": {
      const apparmor = operation.values.attribute.startsWith("apparmor");
      return {
        path: `${apparmor ? "process.apparmorProfile" : "process.selinuxLabel"} ${operation.values.label.replace(/^exec /, "")}`,
        reasons: {
          ...(apparmor && { ENOENT: "this kernel has no AppArmor, or no such profile is loaded" }),
          EINVAL: apparmor ? "this kernel has no AppArmor" : "this kernel has no SELinux, or no such label",
        },
      };
    }
    default:
      return undefined;
  }
}
