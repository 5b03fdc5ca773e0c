/**
 * What a configuration says about how processes run, read back from within: scheduler, I/O priority, processors, memory
 * policy, personality, limits, clocks. Needs root, a static busybox and a C compiler.
 */
import assert from "node:assert/strict";
import { availableParallelism } from "node:os";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { hostLimits } from "../src/oci/host-limits.ts";
import type { Linux, NamespaceType, Process } from "../src/oci/runtime-spec.ts";
import { OciBundle } from "./harness/oci-bundle.ts";

/** Prints one "name value" for each thing that the kernel knows about its process. */
const PROBE = `
#define _GNU_SOURCE
#include <grp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
struct attr { uint32_t size, policy; uint64_t flags; int32_t nice; uint32_t priority; uint64_t runtime, deadline, period; };
int main(void) {
    struct attr attr = {0};
    syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0);
    printf("scheduler %u flags %llu nice %d priority %u\\n", attr.policy, (unsigned long long)attr.flags, attr.nice,
           attr.priority);
    printf("times %llu %llu %llu\\n", (unsigned long long)attr.runtime, (unsigned long long)attr.deadline,
           (unsigned long long)attr.period);
    long io = syscall(SYS_ioprio_get, 1, 0);
    printf("io %ld %ld\\n", io >> 13, io & 7);
    int mode = -1;
    unsigned long nodes[16] = {0};
    syscall(SYS_get_mempolicy, &mode, nodes, 1024, 0, 0);
    printf("memory %#x nodes %lx\\n", mode, nodes[0]);
    cpu_set_t cpus;
    sched_getaffinity(0, sizeof cpus, &cpus);
    printf("cpus");
    for (int cpu = 0; cpu < 64; cpu++) if (CPU_ISSET(cpu, &cpus)) printf(" %d", cpu);
    printf("\\npersonality %#x\\n", (unsigned)personality(0xffffffff));
    printf("umask %03o\\n", umask(0));
    gid_t groups[64];
    int count = getgroups(64, groups);
    printf("groups");
    for (int i = 0; i < count; i++) printf(" %u", groups[i]);
    printf("\\n");
    struct timespec boot, monotonic;
    clock_gettime(CLOCK_BOOTTIME, &boot);
    clock_gettime(CLOCK_MONOTONIC, &monotonic);
    printf("clocks %ld %ld\\n", (long)boot.tv_sec, (long)monotonic.tv_sec);
    printf("limits");
    for (int i = 0; i < 16; i++) {
        struct rlimit limit;
        getrlimit(i, &limit);
        printf(" %lld/%lld", (long long)limit.rlim_cur, (long long)limit.rlim_max);
    }
    printf("\\n");
    return 0;
}`;

const bundle = new OciBundle();
// What the root of a user namespace cannot make in a directory of the host's.
for (const name of ["proc", "dev"]) mkdirSync(join(bundle.rootfs, name));
before(() => bundle.compile("probe", PROBE));
after(() => bundle.end());

/** The probe's lines by their names. */
function parse(output: string): Record<string, string> {
  return Object.fromEntries(
    output
      .trim()
      .split("\n")
      .map((line) => [line.split(" ", 1)[0] ?? "", line.slice(line.indexOf(" ") + 1)]),
  );
}

function probe(id: string): Record<string, string> {
  const { code, out, err } = bundle.run(id);
  assert.equal(code, 0, err);
  return parse(out);
}

test("scheduler, I/O priority, memory policy, personality, umask, groups, limits and clocks", () => {
  const scheduler = { policy: "SCHED_BATCH", nice: 7, flags: ["SCHED_FLAG_RESET_ON_FORK"] };
  const limits = readFileSync("/proc/self/limits", "latin1");
  const files = Number(/^Max open files\s+\d+\s+(\d+)/m.exec(limits)?.[1]);
  const uptime = Number(readFileSync("/proc/uptime", "latin1").split(" ")[0]);
  bundle.configure(
    ["probe"],
    {
      scheduler,
      ioPriority: { class: "IOPRIO_CLASS_BE", priority: 6 },
      // Of processes that are executed later, and not of this one.
      execCPUAffinity: { initial: "0", final: "0" },
      user: { uid: 5, gid: 6, umask: 0o27, additionalGids: [7, 4_000_000] },
      rlimits: [
        { type: "RLIMIT_CORE", soft: 0, hard: 1 },
        { type: "RLIMIT_NOFILE", soft: 100, hard: Math.min(200, files) },
        { type: "RLIMIT_RTPRIO", soft: 0, hard: 0 },
        { type: "RLIMIT_NICE", soft: 0, hard: 0 },
        { type: "RLIMIT_MSGQUEUE", soft: 1024, hard: 4096 },
        { type: "RLIMIT_CPU", soft: 60, hard: 61 },
        { type: "RLIMIT_STACK", soft: 4 << 20, hard: 8 << 20 },
        { type: "RLIMIT_SIGPENDING", soft: 9, hard: 10 },
      ],
    },
    {
      personality: { domain: "LINUX32" },
      memoryPolicy: { mode: "MPOL_BIND", nodes: "0", flags: ["MPOL_F_STATIC_NODES"] },
      namespaces: [{ type: "mount" }, { type: "pid" }, { type: "time" }, { type: "uts" }],
      timeOffsets: { boottime: { secs: 1_000_000 }, monotonic: { secs: 500_000, nanosecs: 5 } },
    },
  );
  const seen = probe("all");
  assert.equal(seen["scheduler"], "3 flags 1 nice 7 priority 0");
  assert.equal(seen["io"], "2 6");
  assert.equal(seen["memory"], "0x8002 nodes 1");
  assert.equal(seen["personality"], "0x8");
  assert.equal(seen["cpus"], Array.from({ length: availableParallelism() }, (_, cpu) => cpu).join(" "));
  assert.equal(seen["umask"], "027");
  assert.equal(seen["groups"], "7 4000000");
  const [boot, monotonic] = (seen["clocks"] ?? "").split(" ").map(Number);
  assert.ok((boot ?? 0) >= uptime + 1_000_000 - 1, `boot time ${boot}`);
  assert.ok((monotonic ?? 0) >= uptime + 500_000 - 1 && (monotonic ?? 0) < uptime + 900_000);
  const shown = (seen["limits"] ?? "").split(" ");
  const expected = {
    0: "60/61",
    3: `${4 << 20}/${8 << 20}`,
    4: "0/1",
    7: "100/200",
    11: "9/10",
    12: "1024/4096",
  };
  for (const [number, limit] of Object.entries(expected)) assert.equal(shown[Number(number)], limit, number);
  assert.deepEqual([shown[13], shown[14]], ["0/0", "0/0"]);
});

test("a process that is executed has what the container has, and its own processors", () => {
  const last = availableParallelism() - 1;
  bundle.configure(
    ["sleep", "1000000"],
    {
      scheduler: { policy: "SCHED_BATCH", nice: 3, flags: ["SCHED_FLAG_RESET_ON_FORK"] },
      ioPriority: { class: "IOPRIO_CLASS_IDLE" },
      execCPUAffinity: { initial: "0", final: `${last}` },
    },
    {
      personality: { domain: "LINUX32" },
      memoryPolicy: { mode: "MPOL_PREFERRED", nodes: "0" },
      namespaces: [{ type: "mount" }, { type: "pid" }, { type: "uts" }, { type: "ipc" }, { type: "time" }],
      timeOffsets: { boottime: { secs: 2_000_000 } },
    },
  );
  assert.equal(bundle.detached(["run", "-d", "-b", bundle.bundle, "exec"]), 0);
  const { code, out, err } = bundle.oci(["exec", "exec", "probe"]);
  assert.equal(code, 0, err);
  const seen = parse(out);
  assert.equal(seen["scheduler"], "3 flags 1 nice 3 priority 0");
  assert.equal(seen["io"], "3 0");
  assert.equal(seen["personality"], "0x8");
  assert.equal(seen["memory"], "0x1 nodes 1");
  assert.equal(seen["cpus"], String(last));
  assert.ok(Number(seen["clocks"]?.split(" ")[0]) > 2_000_000);

  const file = join(bundle.base, "process.json");
  const own: Process = {
    user: { uid: 0, gid: 0 },
    cwd: "/",
    args: ["/bin/probe"],
    scheduler: { policy: "SCHED_IDLE" },
    execCPUAffinity: { initial: "0" },
  };
  writeFileSync(file, JSON.stringify(own));
  const given = parse(bundle.oci(["exec", "-p", file, "exec"]).out);
  assert.equal(given["scheduler"], "5 flags 0 nice 0 priority 0");
  assert.match(given["io"] ?? "", /^0 /, "none of its own");
  assert.equal(given["cpus"], "0", "the kernel keeps what the cpuset allows");
  assert.match(
    bundle.oci(["update", "--l3-cache-schema", "L3:0=f", "exec"]).err,
    /linux\.intelRdt: (no resctrl filesystem is mounted|the container was made without a class)/,
  );
  assert.equal(bundle.oci(["delete", "--force", "exec"]).code, 0);
});

/** Groups of the first version have a budget of real time each, and their parents must have it first. */
function giveRealTime(group: string): Partial<Linux> {
  const parent = join("/sys/fs/cgroup/cpu", dirname(group));
  if (!existsSync("/sys/fs/cgroup/cpu/cpu.rt_runtime_us")) return {};
  mkdirSync(parent, { recursive: true });
  writeFileSync(join(parent, "cpu.rt_runtime_us"), "100000");
  return { resources: { cpu: { realtimePeriod: 1_000_000, realtimeRuntime: 50_000 } } };
}

test("clocks of a time namespace in a user namespace, and none that cannot be", () => {
  const mappings = [{ containerID: 0, hostID: 200_000, size: 65_536 }];
  const linux: Partial<Linux> = {
    namespaces: ["mount", "pid", "uts", "ipc", "network", "user", "time"].map((type) => ({
      type: type as NamespaceType,
    })),
    uidMappings: mappings,
    gidMappings: mappings,
    timeOffsets: { boottime: { secs: 3_000_000 } },
  };
  const mounts = [
    { destination: "/proc", type: "proc", source: "proc" },
    { destination: "/dev", type: "tmpfs", source: "tmpfs" },
  ];
  bundle.configure(["probe"], {}, linux, { mounts });
  assert.ok(Number(probe("clocks")["clocks"]?.split(" ")[0]) > 3_000_000);
  bundle.configure(
    ["probe"],
    {},
    { ...linux, timeOffsets: { boottime: { secs: -4_000_000_000 } } },
    { mounts },
  );
  assert.match(bundle.run("before").err, /linux\.timeOffsets: no clock can have this offset/);
});

test("real-time and deadline policies, which a fork of the runtime's own would undo or refuse", () => {
  const group = bundle.nextCgroup();
  const linux = giveRealTime(group);
  const scheduler = { policy: "SCHED_RR", priority: 5, flags: ["SCHED_FLAG_RESET_ON_FORK"] };
  bundle.configure(["sleep", "1000000"], { scheduler }, linux);
  assert.equal(bundle.detached(["run", "-d", "-b", bundle.bundle, "rt"]), 0, bundle.log());
  const { pid } = JSON.parse(bundle.oci(["state", "rt"]).out) as { pid: number };
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]?.split(" ") ?? [];
  assert.deepEqual([stat[37], stat[38]], ["5", "2"], "priority and policy");
  assert.equal(parse(bundle.oci(["exec", "rt", "probe"]).out)["scheduler"], "2 flags 1 nice 0 priority 5");
  assert.equal(bundle.oci(["delete", "--force", "rt"]).code, 0);

  const times = { runtime: 1_000_000, deadline: 10_000_000, period: 20_000_000 };
  bundle.configure(["probe"], { scheduler: { policy: "SCHED_DEADLINE", ...times } }, linux);
  const seen = probe("deadline");
  assert.equal(seen["scheduler"], "6 flags 0 nice 0 priority 0");
  assert.equal(seen["times"], "1000000 10000000 20000000");
});

test("a real-time policy that the control group has no budget for is named", (context) => {
  if (!existsSync("/sys/fs/cgroup/cpu/cpu.rt_runtime_us")) return context.skip("groups here have no budgets");
  bundle.configure(["true"], { scheduler: { policy: "SCHED_FIFO", priority: 1 } });
  assert.match(bundle.run("broke").err, /process\.scheduler: refused: .*resources\.cpu\.realtimeRuntime/);
});

test("what cannot be is refused with the member's name, and leaves nothing", () => {
  const cases: [RegExp, Partial<Process>, Partial<Linux>][] = [
    [/config\.json: process\.scheduler\.policy: /, { scheduler: { policy: "SCHED_NOTHING" } }, {}],
    [/process\.scheduler: these values make no policy/, { scheduler: { policy: "SCHED_ISO" } }, {}],
    [
      /linux\.memoryPolicy: this kernel has no such mode or node/,
      {},
      { memoryPolicy: { mode: "MPOL_BIND" } },
    ],
    [
      /linux\.intelRdt: (no resctrl filesystem is mounted|closID: there is no class)/,
      {},
      { intelRdt: { closID: "gold-of-nobody" } },
    ],
    [/process\.selinuxLabel a:b:c:s0: this kernel has no SELinux/, { selinuxLabel: "a:b:c:s0" }, {}],
  ];
  for (const [expected, own, linux] of cases) {
    bundle.configure(["true"], own, linux);
    const { code, err } = bundle.run("refused");
    assert.equal(code, 1, String(expected));
    assert.match(err, expected);
    assert.deepEqual(bundle.containers(), []);
  }
});

test("a hard limit that the runtime may not raise is named", (context) => {
  const limits = readFileSync("/proc/self/limits", "latin1");
  const locked = /^Max locked memory\s+\d+\s+(\d+|unlimited)/m.exec(limits)?.[1];
  const mayRaise = hostLimits().capabilities & (1n << 24n);
  if (mayRaise || locked === "unlimited") return context.skip("this machine may raise every limit");
  const more = Number(locked) + 4096;
  bundle.configure(["true"], { rlimits: [{ type: "RLIMIT_MEMLOCK", soft: more, hard: more }] });
  assert.match(bundle.run("raise").err, /process\.rlimits: RLIMIT_MEMLOCK: a hard limit of \d+ is more than/);
});

test("capabilities that the runtime has not are told and left out", (context) => {
  if (hostLimits().capabilities & (1n << 24n)) return context.skip("this machine has all capabilities");
  const names = ["CAP_SYS_RESOURCE", "CAP_KILL"];
  bundle.configure(["grep", "CapBnd", "/proc/self/status"], {
    capabilities: { bounding: names, effective: names, permitted: names },
  });
  const { out, err } = bundle.run("capabilities");
  assert.equal(out, "CapBnd:\t0000000000000020\n");
  assert.match(err, /level=warning .*cannot give CAP_SYS_RESOURCE/);
});
