/** Loads compiled programs into the kernel and makes the calls. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { arch } from "node:process";
import { after, before, test } from "node:test";
import { DEFAULT_CAPABILITIES } from "./capabilities.ts";
import { syscallTable } from "./seccomp-architecture.ts";
import { compileSeccomp } from "./seccomp-compile.ts";
import { defaultSeccomp } from "./seccomp-default-profile.ts";
import type { Seccomp } from "./runtime-spec.ts";

const LOADER = `
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
/* loader PROGRAM FLAGS: for each "NR A0 … A5" of stdin, the call is made in a child: errno (0: it passed), or -signal. */
int main(int argc, char **argv) {
    static struct sock_filter code[4096];
    FILE *file = fopen(argv[1], "rb");
    if (argc < 3 || !file) return 2;
    struct sock_fprog program = {(unsigned short)fread(code, sizeof code[0], 4096, file), code};
    long nr;
    unsigned long a[6];
    while (scanf("%ld %lu %lu %lu %lu %lu %lu", &nr, a, a + 1, a + 2, a + 3, a + 4, a + 5) == 7) {
        int fds[2], result = 0, status;
        if (pipe(fds)) return 3;
        pid_t pid = fork();
        if (pid == 0) {
            if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) _exit(4);
            if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, atoi(argv[2]), &program)) _exit(5);
            errno = 0;
            long rc = syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
            result = rc < 0 ? errno : 0;
            if (write(fds[1], &result, sizeof result) != sizeof result) _exit(6);
            _exit(0);
        }
        close(fds[1]);
        if (read(fds[0], &result, sizeof result) != sizeof result) result = 9999;
        close(fds[0]);
        waitpid(pid, &status, 0);
        if (WIFSIGNALED(status)) result = -WTERMSIG(status);
        else if (WEXITSTATUS(status)) result = 1000 + WEXITSTATUS(status);
        printf("%d\\n", result);
        fflush(stdout);
    }
    return 0;
}`;

const directory = mkdtempSync(join(tmpdir(), "gantry-seccomp-load-"));
const loader = join(directory, "loader");
before(() => {
  writeFileSync(`${loader}.c`, LOADER);
  execFileSync("cc", ["-O1", "-o", loader, `${loader}.c`]);
});
after(() => rmSync(directory, { recursive: true }));

type Call = [name: string, ...args: (number | bigint)[]];

function run(profile: Seccomp, calls: Call[]): number[] {
  const { program, flags } = compileSeccomp(profile);
  writeFileSync(join(directory, "program"), program);
  const input = calls
    .map(([name, ...args]) => {
      const number = syscallTable(arch === "arm64" ? "aarch64" : "x86_64").get(name);
      return [number, ...args, 0, 0, 0, 0, 0, 0].slice(0, 7).join(" ");
    })
    .join("\n");
  const output = execFileSync(loader, [join(directory, "program"), String(flags)], {
    input,
    encoding: "utf8",
  });
  return output.trim().split("\n").map(Number);
}

test("the kernel takes the default profile and answers as it says", () => {
  const [EPERM, ENOSYS, ok] = [1, 38, 0];
  const calls: [Call, number][] = [
    [["getppid"], ok],
    [["socket", 1, 1, 0], ok],
    [["socket", 16, 3, 0], ok],
    [["socket", 38, 5, 0], EPERM],
    [["socket", 40, 1, 0], EPERM],
    [["socket", (1n << 32n) + 38n, 5, 0], EPERM],
    [["unshare", 0x10000000], EPERM],
    [["unshare", 0x400], ok],
    [["clone3", 0, 0], ENOSYS],
    [["personality", 0xffffffff], ok],
    [["personality", 0x0400000], EPERM],
    [["keyctl", 0, 0], EPERM],
    [["mount", 0, 0, 0], EPERM],
  ];
  assert.deepEqual(
    run(
      defaultSeccomp(DEFAULT_CAPABILITIES),
      calls.map(([call]) => call),
    ),
    calls.map(([, expected]) => expected),
  );
});

test("every action has its effect", () => {
  const profile: Seccomp = {
    defaultAction: "SCMP_ACT_ALLOW",
    flags: ["SECCOMP_FILTER_FLAG_LOG"],
    syscalls: [
      { names: ["getpid"], action: "SCMP_ACT_ERRNO", errnoRet: 77 },
      { names: ["getuid"], action: "SCMP_ACT_KILL_PROCESS" },
      { names: ["getgid"], action: "SCMP_ACT_KILL_THREAD" },
      { names: ["geteuid"], action: "SCMP_ACT_TRAP" },
      { names: ["getegid"], action: "SCMP_ACT_TRACE" },
      { names: ["getpgid"], action: "SCMP_ACT_LOG" },
      {
        names: ["getsid"],
        action: "SCMP_ACT_ERRNO",
        args: [{ index: 0, value: 1n << 40n, valueTwo: 1n << 40n, op: "SCMP_CMP_MASKED_EQ" }],
      },
    ],
  };
  const calls: Call[] = [
    ["getpid"],
    ["getuid"],
    ["getgid"],
    ["geteuid"],
    ["getegid"],
    ["getpgid"],
    ["getsid", 1n << 40n],
    ["getsid"],
  ];
  const SIGSYS = -31;
  assert.deepEqual(run(profile, calls), [77, SIGSYS, SIGSYS, SIGSYS, 38, 0, 1, 0]);
});
