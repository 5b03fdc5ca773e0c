import assert from "node:assert/strict";
import { test } from "node:test";
import { GantryError } from "../base/errors.ts";
import { DEFAULT_CAPABILITIES } from "./capabilities.ts";
import { AUDIT_ARCH, syscallTable, type SeccompArchitecture } from "./seccomp-architecture.ts";
import { compileSeccomp } from "./seccomp-compile.ts";
import { defaultSeccomp } from "./seccomp-default-profile.ts";
import { interpretSeccomp } from "./seccomp-interpreter.ts";
import { kernelAtLeast, parseSeccompProfile } from "./seccomp-profile-json.ts";

const [ALLOW, EPERM, ENOSYS] = [0x7fff0000, 0x50001, 0x50026];
const CLONE_NEWUSER = 0x10000000;

function ask(
  capabilities: readonly string[],
  name: string | number,
  args: (number | bigint)[] = [],
  architecture: SeccompArchitecture = "x86_64",
) {
  const { program } = compileSeccomp(defaultSeccomp(capabilities, "6.1"), { native: "x86_64" });
  const number =
    typeof name === "number" ? name : (syscallTable(architecture).get(name) ?? assert.fail(name));
  return interpretSeccomp(program, { number, architecture: AUDIT_ARCH[architecture], args: args.map(BigInt) })
    .verdict;
}
const restricted = (
  name: string | number,
  args: (number | bigint)[] = [],
  architecture: SeccompArchitecture = "x86_64",
) => ask(DEFAULT_CAPABILITIES, name, args, architecture);
const admin = [...DEFAULT_CAPABILITIES, "CAP_SYS_ADMIN"];

test("ordinary calls pass, those on the host do not", () => {
  for (const name of ["read", "openat", "execve", "futex", "mmap", "chroot", "statx", "rseq", "ptrace"]) {
    assert.equal(restricted(name), ALLOW, name);
  }
  for (const name of [
    ...[
      "mount",
      "umount2",
      "setns",
      "bpf",
      "init_module",
      "kexec_load",
      "reboot",
      "swapon",
      "keyctl",
      "add_key",
    ],
    ...[
      "request_key",
      "io_uring_setup",
      "userfaultfd",
      "open_by_handle_at",
      "settimeofday",
      "pivot_root",
      "acct",
    ],
    ...["perf_event_open", "syslog", "iopl", "fsopen", "move_mount", "open_tree", "process_madvise"],
  ]) {
    assert.equal(restricted(name), EPERM, name);
  }
  assert.equal(restricted(600), ENOSYS);
});

test("namespaces need CAP_SYS_ADMIN", () => {
  assert.equal(restricted("clone", [0x11]), ALLOW);
  assert.equal(restricted("clone", [0x11 | CLONE_NEWUSER]), EPERM);
  assert.equal(restricted("unshare", [0x400]), ALLOW);
  for (const flags of [CLONE_NEWUSER, 0x20000, 0x80, 0x40000000, CLONE_NEWUSER | 0x400]) {
    assert.equal(restricted("unshare", [flags]), EPERM, flags.toString(16));
  }
  assert.equal(restricted("clone3"), ENOSYS);
  for (const name of ["clone", "clone3", "unshare", "setns", "mount"])
    assert.equal(ask(admin, name, [CLONE_NEWUSER]), ALLOW, name);
});

test("no socket of AF_ALG and AF_VSOCK by any way, with anything in the high bits", () => {
  for (const architecture of ["x86_64", "x86", "x32"] as const) {
    for (let family = 0; family < 48; family++) {
      const expected = family === 38 || family === 40 ? EPERM : ALLOW;
      assert.equal(restricted("socket", [family], architecture), expected, `${architecture} ${family}`);
      assert.equal(
        restricted("socket", [BigInt(family) | (7n << 32n)], architecture),
        expected,
        `${architecture} ${family}`,
      );
    }
  }
  assert.equal(restricted("socketcall", [1], "x86"), EPERM);
  assert.equal(restricted("socketcall", [3], "x86"), ALLOW);
});

test("personality takes the harmless values only", () => {
  for (const value of [0, 8, 0x20000, 0x20008, 0xffffffff])
    assert.equal(restricted("personality", [value]), ALLOW);
  assert.equal(restricted("personality", [0x40000]), EPERM);
  assert.equal(restricted("personality", [0x0400000 | 8]), EPERM);
});

test("one frozen profile for each capability set, whatever its order", () => {
  assert.equal(defaultSeccomp(["CAP_CHOWN", "CAP_KILL"]), defaultSeccomp(["CAP_KILL", "CAP_CHOWN"]));
  assert.ok(Object.isFrozen(defaultSeccomp([])));
  assert.notEqual(defaultSeccomp([]), defaultSeccomp(["CAP_SYS_ADMIN"]));
});

test("a profile file with conditions gives the rules of this container", () => {
  const text = `{
    "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
    "archMap": [{ "architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"] },
                { "architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"] }],
    "syscalls": [
      { "names": ["read"], "action": "SCMP_ACT_ALLOW", "args": null, "includes": {}, "excludes": {} },
      { "name": "write", "action": "SCMP_ACT_ALLOW", "args": [] },
      { "names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": { "caps": ["CAP_BPF"] } },
      { "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "excludes": { "caps": ["CAP_SYS_ADMIN"] } },
      { "names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": { "minKernel": "4.8" } },
      { "names": ["sync_file_range2"], "action": "SCMP_ACT_ALLOW", "includes": { "arches": ["ppc64le"] } },
      { "names": ["personality"], "action": "SCMP_ACT_ALLOW",
        "args": [{ "index": 0, "value": 18446744073709551615, "valueTwo": 0, "op": "SCMP_CMP_EQ" }] }
    ] }`;
  const names = (capabilities: string[], kernel: string) =>
    parseSeccompProfile(text, "p.json", { capabilities, kernel }).syscalls?.flatMap((rule) => rule.names);
  assert.deepEqual(names([], "4.19.0"), ["read", "write", "clone3", "ptrace", "personality"]);
  assert.deepEqual(names(["CAP_BPF", "CAP_SYS_ADMIN"], "3.10"), ["read", "write", "bpf", "personality"]);
  const profile = parseSeccompProfile(text, "p.json", { capabilities: [] });
  assert.equal(profile.architectures?.length, 2);
  assert.equal(profile.syscalls?.at(-1)?.args?.[0]?.value, (1n << 64n) - 1n);
  compileSeccomp(profile);
  assert.ok(kernelAtLeast("5.10.0-8", "4.8") && !kernelAtLeast("4.7", "4.8") && kernelAtLeast("4", "4"));
});

test("a malformed profile file is refused with the place", () => {
  const refuse = (text: string, pattern: RegExp) =>
    assert.throws(
      () => parseSeccompProfile(text, "p.json", { capabilities: [] }),
      (error) =>
        error instanceof GantryError && error.kind === "invalid-argument" && pattern.test(error.message),
    );
  refuse("{", /p\.json/);
  refuse("[]", /p\.json/);
  refuse(`{"syscalls":[]}`, /defaultAction/);
  refuse(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["x"],"action":1}]}`, /syscalls\.0\.action/);
});
