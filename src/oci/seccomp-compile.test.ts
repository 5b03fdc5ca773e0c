import assert from "node:assert/strict";
import { test } from "node:test";
import { GantryError } from "../base/errors.ts";
import type { Seccomp } from "./runtime-spec.ts";
import { AUDIT_ARCH, syscallTable, type SeccompArchitecture } from "./seccomp-architecture.ts";
import { compileSeccomp } from "./seccomp-compile.ts";
import { interpretSeccomp } from "./seccomp-interpreter.ts";
import { listenerState } from "./seccomp-listener.ts";

const ALLOW = 0x7fff0000;
const KILL = 0x80000000;
const errno = (number: number) => 0x50000 | number;

function verdict(
  profile: Seccomp,
  name: string | number,
  args: (number | bigint)[] = [],
  architecture: SeccompArchitecture = "x86_64",
) {
  const native = architecture === "aarch64" || architecture === "arm" ? "aarch64" : "x86_64";
  const { program } = compileSeccomp(profile, { native });
  const number = typeof name === "number" ? name : syscallTable(architecture).get(name);
  assert.ok(number !== undefined, `${architecture} has ${name}`);
  return interpretSeccomp(program, { number, architecture: AUDIT_ARCH[architecture], args: args.map(BigInt) })
    .verdict;
}

const list: Seccomp = {
  defaultAction: "SCMP_ACT_ERRNO",
  architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
  syscalls: [
    { names: ["read", "write", "exit_group", "no_such_call", "statx"], action: "SCMP_ACT_ALLOW" },
    { names: ["connect"], action: "SCMP_ACT_ERRNO", errnoRet: 111 },
  ],
};

test("each architecture finds its own numbers", () => {
  for (const architecture of ["x86_64", "x86", "x32", "aarch64", "arm"] as const) {
    assert.equal(verdict(list, "read", [], architecture), ALLOW, architecture);
    assert.equal(verdict(list, "exit_group", [], architecture), ALLOW, architecture);
    assert.equal(verdict(list, "connect", [], architecture), errno(111), architecture);
    assert.equal(verdict(list, "mount", [], architecture), errno(1), architecture);
  }
  assert.deepEqual(compileSeccomp(list, { native: "x86_64" }).unknownNames, ["no_such_call"]);
});

test("an architecture that is not listed, and x32 numbers without x32, kill", () => {
  const native: Seccomp = { ...list, architectures: [] };
  assert.equal(verdict(native, "read"), ALLOW);
  assert.equal(verdict(native, "read", [], "x86"), KILL);
  assert.equal(verdict(native, "read", [], "x32"), KILL);
  assert.equal(verdict(native, 0xffffffff), errno(1), "a cancelled call");
});

test("calls newer than the profile are missing, not forbidden", () => {
  assert.equal(verdict(list, 333), errno(38));
  assert.equal(verdict(list, 331), errno(1));
  assert.equal(verdict({ defaultAction: "SCMP_ACT_ALLOW", syscalls: list.syscalls ?? [] }, 9999), ALLOW);
  assert.equal(verdict({ defaultAction: "SCMP_ACT_ERRNO" }, 9999), errno(1));
});

test("socketcall and ipc follow what is said about the calls that they stand for", () => {
  assert.equal(verdict(list, "socketcall", [3], "x86"), errno(111));
  assert.equal(verdict(list, "socketcall", [1], "x86"), errno(1));
  const shm: Seccomp = {
    ...list,
    defaultAction: "SCMP_ACT_ALLOW",
    syscalls: [{ names: ["shmget"], action: "SCMP_ACT_ERRNO" }],
  };
  assert.equal(verdict(shm, "ipc", [23], "x86"), errno(1));
  assert.equal(verdict(shm, "ipc", [0x10017], "x86"), errno(1), "with a version in the high bits");
  assert.equal(verdict(shm, "ipc", [24], "x86"), ALLOW);
});

test("every operator compares 64 bits", () => {
  const cases: [string, bigint, bigint, bigint[], bigint[]][] = [
    ["EQ", 5n, 0n, [5n], [4n, 6n, 5n + (1n << 32n)]],
    ["NE", 5n, 0n, [4n, 5n + (1n << 32n)], [5n]],
    ["GT", 1n << 32n, 0n, [(1n << 32n) + 1n, 1n << 33n], [1n << 32n, 5n]],
    ["GE", 1n << 32n, 0n, [1n << 32n, 1n << 40n], [0xffffffffn]],
    ["LT", 1n << 32n, 0n, [0xffffffffn, 0n], [1n << 32n]],
    ["LE", 1n << 32n, 0n, [1n << 32n, 0n], [(1n << 32n) + 1n]],
    ["MASKED_EQ", 0xf0n, 0x20n, [0x25n, 0x20n | (1n << 40n)], [0x30n]],
    ["MASKED_EQ", 0xffn << 40n, 1n << 40n, [(1n << 40n) | 7n], [2n << 40n, 1n]],
  ];
  for (const [op, value, valueTwo, yes, no] of cases) {
    const profile: Seccomp = {
      defaultAction: "SCMP_ACT_ERRNO",
      syscalls: [
        {
          names: ["personality"],
          action: "SCMP_ACT_ALLOW",
          args: [{ index: 3, value, valueTwo, op: `SCMP_CMP_${op}` }],
        },
      ],
    };
    for (const argument of yes)
      assert.equal(verdict(profile, "personality", [0, 0, 0, argument]), ALLOW, `${op} ${argument}`);
    for (const argument of no)
      assert.equal(verdict(profile, "personality", [0, 0, 0, argument]), errno(1), `${op} ${argument}`);
  }
});

test("conditions on different arguments are joined, those on one are alternatives, and a plain rule wins", () => {
  const eq = (index: number, value: number) => ({ index, value, op: "SCMP_CMP_EQ" });
  const with_ = (syscalls: Seccomp["syscalls"]): Seccomp => ({
    defaultAction: "SCMP_ACT_ERRNO",
    syscalls: syscalls ?? [],
  });
  const both = with_([{ names: ["ioctl"], action: "SCMP_ACT_ALLOW", args: [eq(0, 1), eq(1, 2)] }]);
  assert.equal(verdict(both, "ioctl", [1, 2]), ALLOW);
  assert.equal(verdict(both, "ioctl", [1, 3]), errno(1));
  const either = with_([{ names: ["ioctl"], action: "SCMP_ACT_ALLOW", args: [eq(0, 1), eq(0, 2)] }]);
  assert.equal(verdict(either, "ioctl", [2]), ALLOW);
  assert.equal(verdict(either, "ioctl", [3]), errno(1));
  const plain = with_([
    { names: ["ioctl"], action: "SCMP_ACT_LOG", args: [eq(0, 1)] },
    { names: ["ioctl"], action: "SCMP_ACT_ALLOW" },
  ]);
  assert.equal(verdict(plain, "ioctl", [1]), ALLOW);
});

test("a program too long for one jump still finds its way", () => {
  const names = [...syscallTable("x86_64").keys()];
  const syscalls = names.map((name, index) => ({
    names: [name],
    action: "SCMP_ACT_ERRNO",
    errnoRet: 100 + index,
    args: [{ index: 0, value: index, op: "SCMP_CMP_GE" }],
  }));
  const profile: Seccomp = { defaultAction: "SCMP_ACT_ALLOW", syscalls };
  names.forEach((name, index) => {
    assert.equal(verdict(profile, name, [index]), errno(100 + index), name);
    if (index > 0) assert.equal(verdict(profile, name, [index - 1]), ALLOW, name);
  });
});

test("a common call costs few instructions", () => {
  const { program } = compileSeccomp(list, { native: "x86_64" });
  const { steps } = interpretSeccomp(program, { number: 0, architecture: AUDIT_ARCH.x86_64, args: [] });
  assert.ok(steps <= 9, `${steps} steps`);
});

test("what an agent gets is one JSON text whose parts the pid stands between", () => {
  const seccomp: Seccomp = {
    defaultAction: "SCMP_ACT_NOTIFY",
    listenerPath: "/a",
    listenerMetadata: '"pid":',
  };
  const state = { ociVersion: "1.3.0", id: "x", status: "creating", bundle: "/b" };
  const whole = (parts: string[]): unknown => JSON.parse(parts.join("42"));
  const common = { ociVersion: "1.3.0", fds: ["seccompFd"], metadata: '"pid":', pid: 42 };
  assert.deepEqual(whole(listenerState(seccomp, state)), { ...common, state: { ...state, pid: 42 } });
  assert.deepEqual(whole(listenerState(seccomp, { ...state, pid: 7 })), {
    ...common,
    state: { ...state, pid: 7 },
  });
  assert.deepEqual(whole(listenerState(seccomp, {})), { ...common, state: { pid: 42 } });
});

test("flags that only make sense with a listener, or only without, are left out", () => {
  const flags = [
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
  ];
  assert.equal(compileSeccomp({ defaultAction: "SCMP_ACT_ALLOW", flags }).flags, 7);
  const notifying = { defaultAction: "SCMP_ACT_NOTIFY", listenerPath: "/a", flags };
  assert.equal(compileSeccomp(notifying).flags, 38);
});

test("malformed profiles are refused, equal ones compiled once", () => {
  const bad: Seccomp[] = [
    { defaultAction: "SCMP_ACT_NOTIFY" },
    { defaultAction: "SCMP_ACT_ALLOW", defaultErrnoRet: 1 },
    { defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_Z80"] },
    { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["read"], action: "SCMP_ACT_LOG", errnoRet: 1 }] },
    { defaultAction: "SCMP_ACT_NOTHING" },
    { defaultAction: "SCMP_ACT_ALLOW", flags: ["SECCOMP_FILTER_FLAG_NONE"] },
    { defaultAction: "SCMP_ACT_ERRNO", defaultErrnoRet: 5000 },
    {
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [
        { names: ["read"], action: "SCMP_ACT_ERRNO", args: [{ index: 6, value: 0, op: "SCMP_CMP_EQ" }] },
      ],
    },
    {
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [{ names: ["read"], action: "SCMP_ACT_ERRNO", args: [{ index: 0, value: 0, op: "EQ" }] }],
    },
    {
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [
        { names: ["read"], action: "SCMP_ACT_ERRNO", args: [{ index: 0, value: 0.5, op: "SCMP_CMP_EQ" }] },
      ],
    },
  ];
  for (const profile of bad)
    assert.throws(() => compileSeccomp(profile), GantryError, JSON.stringify(profile));
  assert.equal(compileSeccomp(structuredClone(list)), compileSeccomp(structuredClone(list)));
});
