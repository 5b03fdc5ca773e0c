/**
 * The architectures that a seccomp filter tells apart, and the system call numbers of each.
 *
 * A filter sees AUDIT_ARCH_* of the call (include/uapi/linux/audit.h). x32 shares that of x86_64 and is told by a
 * bit in the number.
 */
import { arch } from "node:process";
import { SYSCALL_TABLES } from "./seccomp-tables-generated.ts";

export type SeccompArchitecture = keyof typeof SYSCALL_TABLES;

export const X32_SYSCALL_BIT = 0x40000000;

export const AUDIT_ARCH: Readonly<Record<SeccompArchitecture, number>> = {
  x86_64: 0xc000003e,
  x86: 0x40000003,
  x32: 0xc000003e,
  aarch64: 0xc00000b7,
  arm: 0x40000028,
};

/** Architectures of machines that Gantry does not run on, and whose calls no filter of ours ever sees. */
export const FOREIGN_ARCHITECTURES: ReadonlySet<string> = new Set(
  (
    "LOONGARCH64 M68K MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PARISC PARISC64 PPC PPC64 PPC64LE " +
    "RISCV64 S390 S390X SH SHEB"
  )
    .split(" ")
    .map((name) => `SCMP_ARCH_${name}`),
);

/** SCMP_ARCH_* of the OCI configuration, of those that it does. */
export const OCI_ARCHITECTURES: ReadonlyMap<string, SeccompArchitecture> = new Map([
  ["SCMP_ARCH_X86_64", "x86_64"],
  ["SCMP_ARCH_X86", "x86"],
  ["SCMP_ARCH_X32", "x32"],
  ["SCMP_ARCH_AARCH64", "aarch64"],
  ["SCMP_ARCH_ARM", "arm"],
]);

/** The machine's own, and those that its kernel runs besides. */
export const NATIVE_ARCHITECTURE: SeccompArchitecture = arch === "arm64" ? "aarch64" : "x86_64";
export const SUB_ARCHITECTURES: Readonly<Record<string, readonly SeccompArchitecture[]>> = {
  x86_64: ["x86", "x32"],
  aarch64: ["arm"],
};

/** Whether system call arguments are 32 bits wide; those of x32 count as such, as its programs know no wider ones. */
export function is32Bit(architecture: SeccompArchitecture): boolean {
  return architecture === "x86" || architecture === "arm" || architecture === "x32";
}

const parsed = new Map<SeccompArchitecture, ReadonlyMap<string, number>>();

/** Numbers by name, as a filter sees them (those of x32 with its bit). */
export function syscallTable(architecture: SeccompArchitecture): ReadonlyMap<string, number> {
  let table = parsed.get(architecture);
  if (!table) {
    const bit = architecture === "x32" ? X32_SYSCALL_BIT : 0;
    const entries = SYSCALL_TABLES[architecture].trim().split(/\s+/);
    table = new Map(
      entries.map((entry) => {
        const equals = entry.indexOf("=");
        return [entry.slice(0, equals), Number(entry.slice(equals + 1)) + bit];
      }),
    );
    parsed.set(architecture, table);
  }
  return table;
}

/** A system call of old that stands for several others, told by its first argument; the others' arguments are in memory. */
export interface Multiplexer {
  name: "socketcall" | "ipc";
  /** Which bits of the first argument tell. */
  mask: bigint;
  operations: ReadonlyMap<string, number>;
}

function operations(text: string): ReadonlyMap<string, number> {
  return new Map(text.split(" ").map((entry) => [String(entry.split("=")[0]), Number(entry.split("=")[1])]));
}

/** socketcall(2) and ipc(2) of x86 (include/uapi/linux/net.h, ipc.h). */
export const MULTIPLEXERS: readonly Multiplexer[] = [
  {
    name: "socketcall",
    mask: 0xffffffffn,
    operations: operations(
      "socket=1 bind=2 connect=3 listen=4 accept=5 getsockname=6 getpeername=7 socketpair=8 send=9 recv=10 sendto=11 " +
        "recvfrom=12 shutdown=13 setsockopt=14 getsockopt=15 sendmsg=16 recvmsg=17 accept4=18 recvmmsg=19 sendmmsg=20",
    ),
  },
  {
    name: "ipc",
    mask: 0xffffn,
    operations: operations(
      "semop=1 semget=2 semctl=3 semtimedop=4 msgsnd=11 msgrcv=12 msgget=13 msgctl=14 shmat=21 shmdt=22 shmget=23 shmctl=24",
    ),
  },
];
