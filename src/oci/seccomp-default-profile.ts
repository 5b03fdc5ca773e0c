/**
 * The built-in seccomp profile (RuntimeDefault): a list of what is allowed, wider for a container with more
 * capabilities. It depends on nothing else, so there is one frozen profile, and one program, for each set.
 *
 * Comparisons of `int` arguments test the low 32 bits only, as the kernel does: a caller cannot hide a socket family
 * behind bits that the kernel drops.
 */
import { release } from "node:os";
import type { Seccomp, SeccompRule } from "./runtime-spec.ts";
import { NATIVE_ARCHITECTURE, OCI_ARCHITECTURES, SUB_ARCHITECTURES } from "./seccomp-architecture.ts";
import { ALLOWED_SYSCALLS, CAPABILITY_SYSCALLS } from "./seccomp-default-syscalls.ts";

const ENOSYS = 38;
const ALLOW = "SCMP_ACT_ALLOW";
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
const CLONE_NAMESPACES = 0x7e020000;
/** For unshare; in clone these bits are part of the exit signal. */
const CLONE_NEWTIME = 0x80;

/** (argument & mask) == value. */
const masked = (index: number, mask: number, value: number) => ({
  index,
  value: mask,
  valueTwo: value,
  op: "SCMP_CMP_MASKED_EQ",
});

/**
 * Socket families but AF_ALG (38), through which kernel code of little use and bad record is reached
 * (CVE-2026-31431), and AF_VSOCK (40), which no namespace confines: as ranges of the low 32 bits.
 */
const SOCKET_FAMILIES: readonly SeccompRule[] = [
  [0xffffffe0, 0],
  [0xfffffffc, 32],
  [0xfffffffe, 36],
  [0xffffffff, 39],
  [0xffffffff, 41],
  [0xfffffffe, 42],
  [0xfffffffc, 44],
].map(([mask = 0, family = 0]) => ({ names: ["socket"], action: ALLOW, args: [masked(0, mask, family)] }));

/** socketcall hides the family in memory, so it makes no sockets. Whoever asks it to has socket(2) since Linux 4.3. */
const SOCKETCALL: SeccompRule = {
  names: ["socketcall"],
  action: ALLOW,
  args: [{ index: 0, value: 2, op: "SCMP_CMP_GE" }],
};

/** PER_LINUX, PER_LINUX32, both with UNAME26, and the question what it is. */
const PERSONALITIES: readonly SeccompRule[] = [0, 8, 0x20000, 0x20008, 0xffffffff].map((value) => ({
  names: ["personality"],
  action: ALLOW,
  args: [masked(0, 0xffffffff, value)],
}));

const cache = new Map<string, Seccomp>();
const CACHE_LIMIT = 256;

/**
 * The profile of a container with these capabilities (names with prefix; those in its bounding set).
 * @param kernel "major.minor…", for calls that old kernels let escape; this one's unless given.
 */
export function defaultSeccomp(capabilities: readonly string[], kernel: string = release()): Seccomp {
  const key = `${kernel} ${[...capabilities].sort().join()}`;
  let profile = cache.get(key);
  if (!profile) {
    profile = make(new Set(capabilities), kernel);
    if (cache.size >= CACHE_LIMIT) cache.clear();
    cache.set(key, profile);
  }
  return profile;
}

function make(capabilities: ReadonlySet<string>, kernel: string): Seccomp {
  const rules: SeccompRule[] = [
    { names: [...ALLOWED_SYSCALLS], action: ALLOW },
    ...SOCKET_FAMILIES,
    SOCKETCALL,
    ...PERSONALITIES,
  ];
  for (const [capability, names] of CAPABILITY_SYSCALLS) {
    if (capabilities.has(capability)) rules.push({ names: [...names], action: ALLOW });
  }
  if (!capabilities.has("CAP_SYS_ADMIN")) {
    rules.push(
      { names: ["clone"], action: ALLOW, args: [masked(0, CLONE_NAMESPACES, 0)] },
      { names: ["unshare"], action: ALLOW, args: [masked(0, CLONE_NAMESPACES | CLONE_NEWTIME, 0)] },
      // Its flags are in memory. Who is told that it does not exist uses clone.
      { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS },
    );
  }
  // Before 4.8 a tracer could change the call after the filter had passed it.
  if (isAtLeast(kernel, 4, 8))
    rules.push({ names: ["ptrace", "process_vm_readv", "process_vm_writev"], action: ALLOW });
  const family = [NATIVE_ARCHITECTURE, ...(SUB_ARCHITECTURES[NATIVE_ARCHITECTURE] ?? [])];
  const architectures = [...OCI_ARCHITECTURES]
    .filter(([, name]) => family.includes(name))
    .map(([name]) => name);
  return Object.freeze({
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: 1,
    architectures,
    syscalls: rules,
  });
}

function isAtLeast(kernel: string, major: number, minor: number): boolean {
  const [, foundMajor = "0", foundMinor = "0"] = /^(\d+)\.(\d+)/.exec(kernel) ?? [];
  return Number(foundMajor) > major || (Number(foundMajor) === major && Number(foundMinor) >= minor);
}
