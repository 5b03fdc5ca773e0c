/** What a container's configuration asks for, as its processes find it. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { status as code } from "@grpc/grpc-js";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { joined, readCriLog } from "./harness/cri-log.ts";
import { OPEN_FILES } from "./harness/daemon.ts";
import { busyboxEntries } from "./harness/fixture-images.ts";
import { layerOf, pushImage } from "./harness/image-builder.ts";
import { makeSetting, type Setting } from "./harness/setting.ts";
import { FOREVER, type TestPod, Workload } from "./harness/workload.ts";

const STOPPER = "registry.k8s.io/stopper:1";
const [PRIVATE, FROM_HOST, BOTH_WAYS] = [0, 1, 2];

let setting: Setting;
let work: Workload;
let pod: TestPod;
let privileged: TestPod;
let shared = "";

before(async () => {
  setting = await makeSetting({ network: "none" });
  work = await Workload.begin(setting);
  // As the kubelet has it: each container sees itself as process 1.
  const namespace_options = { pid: 1 };
  pod = await work.pod("options", security({ namespace_options }));
  privileged = await work.pod("privileged", security({ namespace_options, privileged: true }));
  const settings = {
    Env: ["FROM=image", "BOTH=image"],
    Cmd: ["sleep", "1000"],
    WorkingDir: "/usr/bin",
    StopSignal: "SIGQUIT",
  };
  await pushImage(setting.registry.host, "stopper:1", [layerOf(await busyboxEntries())], settings);
  await work.client.PullImage({ image: { image: STOPPER } });
  // What a kubelet's directories are on: a mount that hands on what is mounted in it.
  shared = setting.daemon.path("shared");
  mkdirSync(shared);
  execFileSync("mount", ["-t", "tmpfs", "tmpfs", shared]);
  execFileSync("mount", ["--make-rshared", shared]);
});
after(async () => {
  if (shared !== "") execFileSync("umount", ["-R", "-l", shared]);
  work?.end();
  await setting?.finish();
});

const security = (security_context: object): object => ({ linux: { security_context } });
let count = 0;
/** A container that runs on, with more in its configuration. */
const run = (more: object, command = FOREVER): Promise<string> => work.run(pod, `c${++count}`, command, more);

/** The exit code of a container, and what it wrote. */
async function output(
  command: string[],
  more: object = {},
): Promise<{ exitCode: number; reason: string; stdout: string }> {
  const name = `o${++count}`;
  const id = await work.run(pod, name, command, { log_path: `${name}.log`, ...more });
  const { exitCode, reason } = await work.exited(id);
  const lines = await readCriLog(join(work.logDirectory, `${name}.log`));
  return { exitCode, reason, stdout: joined(lines, "stdout").toString() };
}

test("command, arguments, environment and working directory, of the request before those of the image", async () => {
  const envs = [
    { key: "BOTH", value: Buffer.from("request") },
    { key: "OWN", value: Buffer.from("a b=c") },
  ];
  const image = { image: { image: STOPPER }, envs };
  const script = ["sh", "-c", 'echo "$FROM,$BOTH,$OWN,$HOME,$PWD,$0,$1"'];
  const more = { ...image, args: ["zero", "one"] };
  assert.equal((await output(script, more)).stdout, "image,request,a b=c,/root,/usr/bin,zero,one\n");
  const elsewhere = await output(["pwd"], { ...image, working_dir: "/made/up" });
  assert.equal(elsewhere.stdout, "/made/up\n");
  const id = await work.run(pod, "by-image", [], { image: { image: STOPPER } });
  assert.equal(await work.read(id, "tr '\\0' ' ' < /proc/1/cmdline"), "sleep 1000 ");
});

test("environment values are the bytes that were given, for exec too", async () => {
  const value = Buffer.from([0x61, 0xff, 0xc3, 0x28, 0x0a, 0xed, 0xb2, 0x80, 0xc3, 0xbc]);
  const id = await run({ envs: [{ key: "BYTES", value }] });
  const hex = Buffer.concat([Buffer.from("BYTES="), value]).toString("hex");
  for (const process of ["1", "self"]) {
    const found = await work.read(id, `od -An -v -tx1 /proc/${process}/environ | tr -d ' \\n'`);
    assert.ok(found.includes(hex), found);
  }
});

test("user, group and supplemental groups", async () => {
  const who = async (context: object): Promise<string> => {
    const id = await run(security(context));
    const found = await work.read(id, "id -u; id -g; id -G");
    await work.client.RemoveContainer({ container_id: id });
    return found.trim().split(/\s+/).join(" ");
  };
  assert.equal(await who({ run_as_user: { value: 1234 } }), "1234 0 0");
  const both = { run_as_user: { value: 1234 }, run_as_group: { value: 567 }, supplemental_groups: [8, 9] };
  assert.equal(await who(both), "1234 567 567 8 9");
  assert.equal(await who({ run_as_username: "www-data", supplemental_groups: [77] }), "33 33 33 77");
  await assert.rejects(run(security({ run_as_group: { value: 1 } })), { code: code.INVALID_ARGUMENT });
  for (const run_as_username of ["nobody-here", "4711", "www-data:root"])
    await assert.rejects(run(security({ run_as_username })), { code: code.INVALID_ARGUMENT });
});

test("capabilities: added, dropped, all, and ambient ones that a user who is not root keeps", async () => {
  const sets = async (capabilities: object, uid = 0): Promise<Record<string, string>> => {
    const id = await run(security({ capabilities, run_as_user: { value: uid } }));
    const lines = (await work.read(id, "grep ^Cap /proc/1/status; grep ^Cap /proc/self/status")).split("\n");
    await work.client.RemoveContainer({ container_id: id });
    const [first, second] = [lines.slice(0, 5), lines.slice(5)];
    if (uid === 0) assert.deepEqual(first, second, "exec has the same");
    return Object.fromEntries(
      first.map((line) => line.replace("Cap", "").split(/:\s*0*/) as [string, string]),
    );
  };
  const bits = (...numbers: number[]): string =>
    numbers.reduce((sum, number) => sum | (1n << BigInt(number)), 0n).toString(16);
  const none = { drop_capabilities: ["all"] };
  assert.equal((await sets(none))["Eff"], "");
  assert.equal(
    (await sets({ ...none, add_capabilities: ["CAP_NET_ADMIN", "sys_time"] }))["Eff"],
    bits(12, 25),
  );
  const own = /^CapBnd:\s*0*(\w+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  const all = await sets({ add_capabilities: ["ALL"] });
  assert.deepEqual([all["Eff"], all["Inh"], all["Amb"]], [own, "", ""]);
  assert.equal(BigInt(`0x${(await sets({ drop_capabilities: ["CHOWN"] }))["Bnd"]}`) & 1n, 0n);
  const ambient = await sets({ ...none, add_ambient_capabilities: ["NET_BIND_SERVICE"] }, 1000);
  assert.deepEqual([ambient["Eff"], ambient["Amb"], ambient["Inh"]], [bits(10), bits(10), bits(10)]);
  assert.equal((await sets({ add_capabilities: ["NET_ADMIN"] }, 1000))["Eff"], "");
  await assert.rejects(sets({ add_capabilities: ["NO_SUCH"] }), { code: code.INVALID_ARGUMENT });
});

test("a read-only root leaves only what is mounted to be written to", async () => {
  const id = await run(security({ readonly_rootfs: true }));
  assert.notEqual((await work.exec(id, "touch /file")).exitCode, 0);
  assert.equal((await work.exec(id, "touch /dev/shm/file")).exitCode, 0);
});

test("mounts: writable, read-only, by a symbolic link, and of a single file", async () => {
  const host = setting.daemon.path("data");
  mkdirSync(join(host, "below"), { recursive: true });
  writeFileSync(join(host, "file"), "from the host");
  symlinkSync(host, setting.daemon.path("link"));
  const id = await run({
    mounts: [
      { host_path: host, container_path: "/rw" },
      { host_path: setting.daemon.path("link"), container_path: "/ro", readonly: true },
      { host_path: join(host, "file"), container_path: "/etc/alone", readonly: true },
    ],
  });
  assert.equal(await work.read(id, "cat /rw/file /ro/file /etc/alone"), "from the host".repeat(3));
  await work.read(id, "echo back > /rw/back");
  assert.equal(readFileSync(join(host, "back"), "utf8"), "back\n");
  for (const path of ["/ro/x", "/ro/below/x", "/etc/alone"])
    assert.match((await work.exec(id, `echo > ${path}`)).stderr, /Read-only/);
});

test("mounts of the host show up inside where asked for, and those made inside show up on the host", async () => {
  const mounts = [
    { host_path: shared, container_path: "/private", propagation: PRIVATE },
    { host_path: shared, container_path: "/from-host", propagation: FROM_HOST },
    { host_path: shared, container_path: "/both-ways", propagation: BOTH_WAYS },
  ];
  for (const name of ["of-host", "of-container"]) mkdirSync(join(shared, name));
  const config = { mounts, ...security({ privileged: true }) };
  const id = await work.run(privileged, "propagation", FOREVER, config);
  execFileSync("mount", ["-t", "tmpfs", "tmpfs", join(shared, "of-host")]);
  writeFileSync(join(shared, "of-host/note"), "");
  const seen = "for d in private from-host both-ways; do [ -e /$d/of-host/note ] && echo $d; done; true";
  assert.equal(await work.read(id, seen), "from-host\nboth-ways");
  await work.read(id, "mount -t tmpfs tmpfs /both-ways/of-container && touch /both-ways/of-container/note");
  const onHost = (): boolean =>
    readFileSync("/proc/self/mountinfo", "utf8").includes(join(shared, "of-container"));
  assert.ok(onHost());
  await work.client.RemoveContainer({ container_id: id });
  assert.ok(onHost(), "it is the host's now");
});

test("mounts that are recursively read-only are so below, too", async () => {
  const host = join(shared, "tree");
  mkdirSync(join(host, "below"), { recursive: true });
  execFileSync("mount", ["-t", "tmpfs", "tmpfs", join(host, "below")]);
  const mount = { host_path: host, container_path: "/tree", readonly: true };
  const plain = await run({ mounts: [mount] });
  assert.equal((await work.exec(plain, "touch /tree/below/x")).exitCode, 0, "as mount(2) has it");
  const all = await run({ mounts: [{ ...mount, recursive_read_only: true }] });
  assert.match((await work.exec(all, "touch /tree/below/y")).stderr, /Read-only/);
});

test("mounts: further options, and what cannot be mounted so", async () => {
  const host_path = setting.daemon.path("optional");
  mkdirSync(host_path);
  writeFileSync(join(host_path, "tool"), "#!/bin/sh\n", { mode: 0o755 });
  const mount = (more: object): object => ({ mounts: [{ host_path, container_path: "/data", ...more }] });
  const id = await run(mount({ mount_options: ["noexec", "nosuid", "noatime"] }));
  assert.match(await work.read(id, "grep ' /data ' /proc/mounts"), / rw,nosuid,noexec,noatime/);
  assert.match((await work.exec(id, "/data/tool")).stderr, /Permission denied/);
  const refused: [object, number, RegExp][] = [
    [mount({ mount_options: ["noexec", "size=1k"] }), code.INVALID_ARGUMENT, /option "size=1k"/],
    [mount({ mount_options: ["rw"], readonly: true }), code.INVALID_ARGUMENT, /"rw" contradicts/],
    [mount({ mount_options: ["rshared"] }), code.INVALID_ARGUMENT, /"rshared"/],
    [mount({ container_path: "/proc" }), code.FAILED_PRECONDITION, /no procfs/],
    [mount({ host_path: "/proc/1", container_path: "/proc" }), code.FAILED_PRECONDITION, /no procfs/],
    [mount({ host_path: join(host_path, "missing") }), code.NOT_FOUND, /does not exist/],
  ];
  execFileSync("mount", ["--bind", "--make-private", host_path, host_path]);
  try {
    for (const propagation of [FROM_HOST, BOTH_WAYS])
      refused.push([mount({ propagation }), code.FAILED_PRECONDITION, /which is not a shared/]);
    for (const [more, expected, message] of refused)
      await assert.rejects(run(more), (error: Error & { code: number }) => {
        assert.match(error.message, message);
        assert.equal(error.code, expected, error.message);
        return true;
      });
  } finally {
    execFileSync("umount", ["-l", host_path]);
  }
});

test("mounts are made from the outermost inwards, whatever their order, on files and directories", async () => {
  const at = (name: string, content: string): string => {
    const path = setting.daemon.path(name);
    mkdirSync(path);
    writeFileSync(join(path, "name"), content);
    return path;
  };
  const [outer, inner] = [at("outer", "outer"), at("inner", "inner")];
  mkdirSync(join(outer, "sub"));
  const id = await run({
    mounts: [
      { host_path: join(inner, "name"), container_path: "/new/outer/sub/deep/file" },
      { host_path: inner, container_path: "/new/outer/sub/" },
      { host_path: outer, container_path: "/new/outer" },
    ],
  });
  const found = await work.read(id, "cat /new/outer/name /new/outer/sub/name /new/outer/sub/deep/file");
  assert.equal(found, "outerinnerinner");
});

test("devices: what is asked for, with the access that is asked for, and no other", async () => {
  const devices = [
    { host_path: "/dev/zero", container_path: "/dev/own-zero", permissions: "r" },
    { host_path: "/dev/full", container_path: "/dev/own-full", permissions: "rwm" },
  ];
  const id = await run({ devices });
  assert.equal(await work.read(id, "head -c 3 /dev/own-zero | od -An -tx1"), " 00 00 00");
  assert.match((await work.exec(id, "echo > /dev/own-full")).stderr, /No space/);
  assert.match(
    (await work.exec(id, "mknod /tmp/kmsg c 1 11 && head -c 1 /tmp/kmsg")).stderr,
    /not permitted/,
  );
  assert.equal(
    await work.read(id, "ls /dev | tr '\\n' ' '"),
    "core fd full mqueue null own-full own-zero ptmx pts random shm stderr stdin stdout tty urandom zero ",
  );
});

test("limits stand in the container's own control group", async () => {
  const resources = {
    cpu_period: 50_000,
    cpu_quota: 20_000,
    cpu_shares: 512,
    memory_limit_in_bytes: 64 << 20,
    oom_score_adj: 500,
    cpuset_cpus: "0",
  };
  const id = await run({ linux: { resources } });
  const v2 = (await work.exec(id, "test -e /sys/fs/cgroup/cgroup.controllers")).exitCode === 0;
  const files = v2
    ? "cpu.max memory.max cpuset.cpus.effective"
    : "cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us cpu/cpu.shares memory/memory.limit_in_bytes cpuset/cpuset.cpus";
  const values = await work.read(id, `cd /sys/fs/cgroup; cat ${files}; cat /proc/1/oom_score_adj`);
  const expected = v2 ? ["20000 50000", "67108864", "0"] : ["20000", "50000", "512", "67108864", "0"];
  assert.deepEqual(values.split("\n"), [...expected, "500"]);
  assert.match((await work.exec(id, "mkdir /sys/fs/cgroup/x /sys/fs/cgroup/memory/x")).stderr, /Read-only/);
});

test("a container that takes too much memory is killed, and that is told as the reason", async () => {
  const resources = { memory_limit_in_bytes: 24 << 20, memory_swap_limit_in_bytes: 24 << 20 };
  const { exitCode, reason } = await output(["tail", "/dev/zero"], { linux: { resources } });
  assert.deepEqual([exitCode, reason], [137, "OOMKilled"]);
});

test("without standard input there is its end; with a terminal the streams are one", async () => {
  const closed = await output(["sh", "-c", "cat; readlink /proc/self/fd/0; tty"]);
  assert.deepEqual([closed.exitCode, closed.stdout], [1, "/dev/null\nnot a tty\n"]);
  const terminal = await output(["sh", "-c", "tty; echo err >&2; [ -t 0 ] && [ -t 2 ] && echo $TERM"], {
    tty: true,
    stdin: true,
  });
  assert.deepEqual([terminal.exitCode, terminal.stdout], [0, "/dev/pts/0\r\nerr\r\nxterm\r\n"]);
});

test("the stop signal is that of the request, else that of the image, else SIGTERM", async () => {
  const script =
    'for s in TERM QUIT USR1; do trap "echo $s; exit 5" $s; done; touch /ready; while :; do sleep 0.02; done';
  const stoppedBy = async (more: object): Promise<string> => {
    const name = `s${++count}`;
    const id = await work.run(pod, name, ["sh", "-c", script], more);
    await work.read(id, "until [ -e /ready ]; do sleep 0.02; done");
    await work.client.StopContainer({ container_id: id, timeout: 20 });
    assert.equal((await work.exited(id)).exitCode, 5);
    return joined(await readCriLog(join(work.logDirectory, `${name}.log`)), "stdout").toString();
  };
  assert.equal(await stoppedBy({}), "TERM\n");
  assert.equal(await stoppedBy({ image: { image: STOPPER } }), "QUIT\n");
  assert.equal(await stoppedBy({ image: { image: STOPPER }, stop_signal: "SIGNAL_SIGUSR1" }), "USR1\n");
});

test("who does not heed the signal is killed when the grace period is over, not before", async () => {
  const id = await run({}, ["sh", "-c", "trap '' TERM; touch /ready; while :; do sleep 0.02; done"]);
  await work.read(id, "until [ -e /ready ]; do sleep 0.02; done");
  const started = performance.now();
  await work.client.StopContainer({ container_id: id, timeout: 1 });
  assert.ok(performance.now() - started > 950);
  assert.equal((await work.exited(id)).exitCode, 137);
});

test("privileged: all capabilities, all devices, nothing masked; only in a pod that is privileged", async () => {
  const facts =
    "sed -n 's/^CapEff:\\s*//p' /proc/self/status; ls /dev | wc -l; touch /sys/fs/cgroup/x 2>&1; head -c 0 /proc/kcore && echo kcore";
  const plain = (await work.exec(await run({}), facts)).stdout.split("\n");
  const id = await work.run(privileged, "all", FOREVER, security({ privileged: true }));
  const full = (await work.exec(id, facts)).stdout.split("\n");
  assert.equal(plain[0], "00000000a80405fb");
  const own = /^CapBnd:\s*(\w+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  assert.equal(full[0], own);
  assert.ok(Number(full[1]) > Number(plain[1]));
  assert.ok(full.includes("kcore") || !plain.includes("kcore"));
  await assert.rejects(run(security({ privileged: true })), { code: code.FAILED_PRECONDITION });
});

test("no_new_privs and the limit on open files are as they should be", async () => {
  const script = "sed -n 's/^NoNewPrivs:\\s*//p' /proc/self/status; ulimit -Sn";
  const id = await run(security({ no_new_privs: true }));
  assert.equal(await work.read(id, script), `1\n${OPEN_FILES}`);
  assert.equal(await work.read(await run({}), script), `0\n${OPEN_FILES}`);
  assert.equal((await output(["sh", "-c", "ulimit -Sn"])).stdout, `${OPEN_FILES}\n`);
});
