/**
 * System call filters on real containers: notifications that an agent answers, and calls of 32-bit programs. Needs root, a
 * static busybox and a C compiler.
 */
import assert from "node:assert/strict";
import { arch } from "node:process";
import { after, before, test } from "node:test";
import type { Seccomp } from "../src/oci/runtime-spec.ts";
import { OciBundle } from "./harness/oci-bundle.ts";
import { SeccompAgent } from "./harness/seccomp-agent.ts";

/** Says what the calls give that the agent or the filter decides about. */
const CALLS = `
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
int main(void) {
    printf("getppid %d\\n", (int)getppid());
    int result = mkdir("/tmp-of-agent", 0700);
    printf("mkdir %d errno %d\\n", result, errno);
    return 0;
}`;

/** The same calls by the ways in of 32-bit programs: int 0x80, and x32's numbers. */
const NARROW = `
#include <stdio.h>
static long narrow(long nr, long a, long b) {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(nr), "b"(a), "c"(b) : "memory", "r8", "r9", "r10", "r11");
    return (int)result;
}
static long wide(long nr, long a, long b) {
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(nr), "D"(a), "S"(b) : "memory", "rcx", "r11");
    return result;
}
int main(void) {
    printf("x86 getuid %ld mkdir %ld socketcall %ld\\n", narrow(24, 0, 0) , narrow(39, 0, 0), narrow(102, 1, 0));
    printf("x32 getuid %ld mkdir %ld\\n", wide(0x40000000 + 102, 0, 0), wide(0x40000000 + 83, 0, 0));
    return 0;
}`;

/** A 32-bit program without a library: tells the errno of mkdir(2) as its exit status. */
const STANDALONE = `
void _start(void) {
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(39), "b"(0), "c"(0));
    __asm__ volatile("int $0x80" : : "a"(1), "b"(-result));
}`;

/** Makes one call only, which ends it. */
const ENDS = `
#include <sys/syscall.h>
void _start(void) {
#ifdef __x86_64__
    __asm__ volatile("syscall" : : "a"(SYS_exit_group), "D"(7));
#else
    register long number __asm__("x8") = SYS_exit_group, status __asm__("x0") = 7;
    __asm__ volatile("svc 0" : : "r"(number), "r"(status));
#endif
}`;

const bundle = new OciBundle();
let agent: SeccompAgent;
before(async () => {
  bundle.compile("calls", CALLS);
  agent = await SeccompAgent.begin(bundle.base);
});
after(async () => {
  await agent.end();
  await bundle.end();
});

const notify = (names: string[], more: Partial<Seccomp> = {}): Seccomp => ({
  defaultAction: "SCMP_ACT_ALLOW",
  listenerPath: agent.path,
  syscalls: [{ names, action: "SCMP_ACT_NOTIFY" }],
  ...more,
});

test("an agent gets the listener with the state, and answers for the kernel", async () => {
  const flags = ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", "SECCOMP_FILTER_FLAG_TSYNC"];
  const seccomp = notify(["getppid", "mkdir", "mkdirat"], { listenerMetadata: 'a "b"\n', flags });
  const noNewPrivileges = [true, false];
  for (const noNew of noNewPrivileges) {
    bundle.configure(["calls"], { noNewPrivileges: noNew }, { seccomp }, { annotations: { key: "value" } });
    assert.deepEqual(bundle.run("agent"), { code: 0, out: "getppid 4711\nmkdir -1 errno 99\n", err: "" });
    const { pid, ...state } = await agent.state();
    assert.ok(typeof pid === "number" && pid > 1);
    assert.deepEqual(state, {
      ociVersion: "1.3.0",
      fds: ["seccompFd"],
      metadata: 'a "b"\n',
      state: {
        ociVersion: "1.3.0",
        id: "agent",
        bundle: bundle.bundle,
        annotations: { key: "value" },
        status: "creating",
        pid,
      },
    });
  }
});

test("created, started, and a process executed later: a listener for each", async () => {
  const seccomp = notify(["getppid", "mkdir", "mkdirat"]);
  bundle.configure(["sleep", "1000000"], {}, { seccomp });
  assert.equal(bundle.detached(["create", "-b", bundle.bundle, "later"]), 0, bundle.log());
  const first = await agent.state();
  const { pid } = JSON.parse(bundle.oci(["state", "later"]).out) as { pid: number };
  assert.equal(first["pid"], pid);
  assert.equal(bundle.oci(["start", "later"]).code, 0);
  assert.equal(bundle.oci(["exec", "later", "calls"]).out, "getppid 4711\nmkdir -1 errno 99\n");
  const second = await agent.state();
  assert.notEqual(second["pid"], pid);
  const { status, pid: initPid } = second["state"] as { status: string; pid: number };
  assert.deepEqual([status, initPid], ["running", pid]);
  assert.equal(bundle.oci(["delete", "--force", "later"]).code, 0);
});

test("no call of the runtime's own stands in the way, whatever the filter asks or refuses", async () => {
  const everything: Seccomp = { defaultAction: "SCMP_ACT_NOTIFY", listenerPath: agent.path };
  bundle.configure(["calls"], {}, { seccomp: everything });
  assert.equal(bundle.run("everything").out, "getppid 4711\nmkdir -1 errno 99\n");
  await agent.state();
  const syscalls = [
    { names: ["getppid", "mkdir", "mkdirat"], action: "SCMP_ACT_NOTIFY" },
    { names: ["sendmsg", "recvmsg", "close", "futex", "sched_yield"], action: "SCMP_ACT_ERRNO" },
  ];
  bundle.configure(["calls"], {}, { seccomp: notify([], { syscalls }) });
  assert.equal(bundle.run("without").out, "getppid 4711\nmkdir -1 errno 99\n");
  await agent.state();
});

test("a hook that says more than a pipe holds ends where the filter refuses what it is listened to with", async () => {
  const syscalls = [
    { names: ["getppid"], action: "SCMP_ACT_NOTIFY" },
    { names: ["poll", "ppoll", "pidfd_open"], action: "SCMP_ACT_ERRNO" },
  ];
  const script =
    "i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890123456789 >&2; i=$((i+1)); done; exit 3";
  const hooks = { startContainer: [{ path: "/bin/sh", args: ["sh", "-c", script] }] };
  bundle.configure(["true"], {}, { seccomp: notify([], { syscalls }) }, { hooks });
  const { code, err } = bundle.run("words");
  assert.equal(code, 1);
  assert.match(err, /hook \/bin\/sh: exit status 3: [0-9 ]+0123456789/);
  await agent.state();
});

test("a deadline process, which cannot have the thread that hands the listener over, gets its policy afterwards", () => {
  const times = { runtime: 1_000_000, deadline: 10_000_000, period: 20_000_000 };
  const scheduler = { policy: "SCHED_DEADLINE", ...times };
  bundle.configure(["calls"], { scheduler }, { seccomp: notify(["getppid", "mkdir", "mkdirat"]) });
  assert.deepEqual(bundle.run("deadline"), { code: 0, out: "getppid 4711\nmkdir -1 errno 99\n", err: "" });
});

test("without an agent the container is not made", () => {
  const missing = `${bundle.base}/nobody`;
  bundle.configure(["true"], {}, { seccomp: notify(["mkdir"], { listenerPath: missing }) });
  const { code, err } = bundle.run("nobody");
  assert.equal(code, 1);
  assert.match(err, /linux\.seccomp\.listenerPath: nobody listens there \(connect: ENOENT\)/);
  const { listenerPath: _, ...unheard } = notify(["mkdir"]);
  bundle.configure(["true"], {}, { seccomp: unheard });
  assert.match(bundle.run("unheard").err, /SCMP_ACT_NOTIFY needs a listenerPath/);
  assert.deepEqual(bundle.containers(), []);
});

test("a filter without notifications leaves its listenerPath alone", () => {
  const listenerPath = `${bundle.base}/nobody`;
  bundle.configure(["true"], {}, { seccomp: { defaultAction: "SCMP_ACT_ALLOW", listenerPath } });
  assert.deepEqual(bundle.run("unused"), { code: 0, out: "", err: "" });
});

test("calls of 32-bit programs are judged by their own numbers", (context) => {
  if (arch !== "x64") return context.skip("written for x86_64");
  bundle.compile("narrow", NARROW);
  bundle.compile("standalone", STANDALONE, ["-m32", "-nostdlib", "-fno-pie", "-no-pie"]);
  const profile: Seccomp = {
    defaultAction: "SCMP_ACT_ALLOW",
    architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_MIPS"],
    syscalls: [
      { names: ["mkdir"], action: "SCMP_ACT_ERRNO", errnoRet: 88 },
      { names: ["getuid"], action: "SCMP_ACT_ERRNO", errnoRet: 77 },
      { names: ["socket"], action: "SCMP_ACT_ERRNO", errnoRet: 66 },
    ],
  };
  bundle.configure(["narrow"], {}, { seccomp: profile });
  assert.deepEqual(bundle.run("narrow"), {
    code: 0,
    out: "x86 getuid -77 mkdir -88 socketcall -66\nx32 getuid -77 mkdir -88\n",
    err: "",
  });
  bundle.configure(["standalone"], {}, { seccomp: profile });
  assert.equal(bundle.run("standalone").code, 88);
  const { architectures: _, ...native } = profile;
  for (const program of ["narrow", "standalone"]) {
    bundle.configure([program], {}, { seccomp: native });
    assert.equal(bundle.run(program).code, 128 + 31, "killed by SIGSYS");
  }
});

test("a filter needs to allow no more than the command and what that calls", () => {
  bundle.compile("ends", ENDS, ["-nostdlib", "-fno-stack-protector"]);
  const syscalls = [{ names: ["execve", "exit_group"], action: "SCMP_ACT_ALLOW" }];
  const seccomp: Seccomp = { defaultAction: "SCMP_ACT_KILL_PROCESS", syscalls };
  bundle.configure(["ends"], { noNewPrivileges: true }, { seccomp });
  assert.equal(bundle.run("ends").code, 7);
});
