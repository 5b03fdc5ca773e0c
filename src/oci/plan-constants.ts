/** Numbers of the kernel's interface that plans are made of, by their names in the kernel's headers. */
import type { NamespaceType } from "./runtime-spec.ts";

/** CLONE_NEW* (linux/sched.h). */
export const CLONE_NEW: Readonly<Record<NamespaceType, number>> = {
  time: 0x80,
  mount: 0x20000,
  cgroup: 0x2000000,
  uts: 0x4000000,
  ipc: 0x8000000,
  user: 0x10000000,
  pid: 0x20000000,
  network: 0x40000000,
};

/** MOUNT_ATTR_* (linux/mount.h). RELATIME is the absence of the other bits of ATIME. */
export const MOUNT_ATTR = {
  RDONLY: 0x1n,
  NOSUID: 0x2n,
  NODEV: 0x4n,
  NOEXEC: 0x8n,
  ATIME: 0x70n,
  RELATIME: 0x0n,
  NOATIME: 0x10n,
  STRICTATIME: 0x20n,
  NODIRATIME: 0x80n,
  NOSYMFOLLOW: 0x200000n,
} as const;

/** MS_* of mount(2) that are about propagation. */
export const MS = {
  REC: 0x4000n,
  UNBINDABLE: 1n << 17n,
  PRIVATE: 1n << 18n,
  SLAVE: 1n << 19n,
  SHARED: 1n << 20n,
} as const;

/** File types of mknod(2). */
export const S_IFMT = { c: 0o020000, u: 0o020000, b: 0o060000, p: 0o010000 } as const;

/** RLIMIT_* of the generic architectures (x86-64, arm64), by name with prefix. */
export const RLIMITS: Readonly<Record<string, number>> = Object.fromEntries(
  "CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME"
    .split(" ")
    .map((name, number) => [`RLIMIT_${name}`, number]),
);

/** SCHED_* policies. */
export const SCHEDULERS: Readonly<Record<string, number>> = {
  SCHED_OTHER: 0,
  SCHED_FIFO: 1,
  SCHED_RR: 2,
  SCHED_BATCH: 3,
  SCHED_ISO: 4,
  SCHED_IDLE: 5,
  SCHED_DEADLINE: 6,
};

/** SCHED_FLAG_*. */
export const SCHEDULER_FLAGS: Readonly<Record<string, bigint>> = {
  SCHED_FLAG_RESET_ON_FORK: 0x01n,
  SCHED_FLAG_RECLAIM: 0x02n,
  SCHED_FLAG_DL_OVERRUN: 0x04n,
  SCHED_FLAG_KEEP_POLICY: 0x08n,
  SCHED_FLAG_KEEP_PARAMS: 0x10n,
  SCHED_FLAG_UTIL_CLAMP_MIN: 0x20n,
  SCHED_FLAG_UTIL_CLAMP_MAX: 0x40n,
};

/** IOPRIO_CLASS_*. */
export const IO_CLASSES: Readonly<Record<string, number>> = {
  IOPRIO_CLASS_RT: 1,
  IOPRIO_CLASS_BE: 2,
  IOPRIO_CLASS_IDLE: 3,
};

/** MPOL_* modes of set_mempolicy(2), and flags that go with them. */
export const MEMORY_POLICIES: Readonly<Record<string, number>> = {
  MPOL_DEFAULT: 0,
  MPOL_PREFERRED: 1,
  MPOL_BIND: 2,
  MPOL_INTERLEAVE: 3,
  MPOL_LOCAL: 4,
  MPOL_PREFERRED_MANY: 5,
  MPOL_WEIGHTED_INTERLEAVE: 6,
};
export const MEMORY_POLICY_FLAGS: Readonly<Record<string, number>> = {
  MPOL_F_NUMA_BALANCING: 1 << 13,
  MPOL_F_RELATIVE_NODES: 1 << 14,
  MPOL_F_STATIC_NODES: 1 << 15,
};

/** PER_* domains of personality(2). */
export const PERSONALITIES: Readonly<Record<string, bigint>> = { LINUX: 0n, LINUX32: 8n };

export const CAP_SYS_ADMIN = 1n << 21n;
