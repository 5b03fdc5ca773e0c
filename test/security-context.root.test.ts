/** What a container's security context asks for, as its processes find it; what cannot be had is refused by name. */
import assert from "node:assert/strict";
import { status as code } from "@grpc/grpc-js";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { file, layerOf, pushImage } from "./harness/image-builder.ts";
import { busyboxEntries } from "./harness/fixture-images.ts";
import { SeccompAgent } from "./harness/seccomp-agent.ts";
import { makeSetting, type Setting } from "./harness/setting.ts";
import { FOREVER, type TestPod, Workload } from "./harness/workload.ts";

const [RUNTIME_DEFAULT, UNCONFINED, LOCALHOST] = [0, 1, 2];
const [MERGE, STRICT] = [0, 1];
const GROUPED = "registry.k8s.io/grouped:1";

let setting: Setting;
let work: Workload;
let pod: TestPod;
let privileged: TestPod;

before(async () => {
  setting = await makeSetting({ network: "none" });
  work = await Workload.begin(setting);
  const namespace_options = { pid: 1 };
  pod = await work.pod("plain", security({ namespace_options }));
  privileged = await work.pod("privileged", security({ namespace_options, privileged: true }));
  const accounts = layerOf([
    file("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n"),
    file("etc/group", "root:x:0:\napp:x:1000:\nextra:x:50000:other,app\n"),
    ...(await busyboxEntries()),
  ]);
  await pushImage(setting.registry.host, "grouped:1", [accounts], { Cmd: FOREVER, User: "app" });
  await work.client.PullImage({ image: { image: GROUPED } });
});
after(async () => {
  work?.end();
  await setting?.finish();
});

const security = (security_context: object): object => ({ linux: { security_context } });
let count = 0;
const run = (context: object, more: object = {}, where = pod): Promise<string> =>
  work.run(where, `c${++count}`, FOREVER, { ...security(context), ...more });

/** Expects a refusal with this code and a message like this. */
async function refused(context: object, expected: number, message: RegExp): Promise<void> {
  await assert.rejects(run(context), (error: Error & { code: number }) => {
    assert.match(error.message, message);
    assert.equal(error.code, expected, error.message);
    return true;
  });
}

function profile(name: string, content: unknown): string {
  const path = setting.daemon.path(name);
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

test("groups by both policies, and the status tells who the first process is", async () => {
  const image = { image: { image: GROUPED } };
  for (const [supplemental_groups_policy, groups] of [
    [MERGE, [1000, 50000, 1234]],
    [STRICT, [1000, 1234]],
  ] as const) {
    const context = { supplemental_groups_policy, supplemental_groups: ["1234"] };
    const id = await run(context, image);
    const line = await work.read(id, "grep -E '^(Uid|Gid|Groups)' /proc/1/status");
    const [uid, gid, found] = line.split("\n").map((row) => row.replace(/^\w+:\s*/, "").trim());
    assert.deepEqual([uid, gid], ["1000\t1000\t1000\t1000", "1000\t1000\t1000\t1000"]);
    const sorted = (list: readonly number[]): number[] => list.toSorted((a, b) => a - b);
    assert.deepEqual(sorted(found?.split(" ").map(Number) ?? []), sorted(groups));
    const { status } = await work.client.ContainerStatus({ container_id: id });
    assert.deepEqual(status?.user?.linux, {
      uid: "1000",
      gid: "1000",
      supplemental_groups: groups.map(String),
    });
  }
});

test("seccomp: none, the default, and a file; a file that is wrong is named", async () => {
  const mode = (id: string): Promise<string> => work.read(id, "sed -n 's/^Seccomp:\\s*//p' /proc/1/status");
  assert.equal(await mode(await run({})), "0");
  assert.equal(await mode(await run({ seccomp: { profile_type: UNCONFINED } })), "0");
  assert.equal(await mode(await run({ seccomp: { profile_type: RUNTIME_DEFAULT } })), "2");
  assert.equal(await mode(await run({ seccomp_profile_path: "runtime/default" })), "2");
  const rule = { names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 28 };
  const path = profile("no-mkdir.json", { defaultAction: "SCMP_ACT_ALLOW", syscalls: [rule] });
  const localhost = (localhost_ref: string): object => ({
    seccomp: { profile_type: LOCALHOST, localhost_ref },
  });
  for (const context of [localhost(path), { seccomp_profile_path: `localhost/${path}` }])
    assert.match((await work.exec(await run(context), "mkdir /x")).stderr, /No space left/);
  const free = await run({ ...localhost(path), privileged: true }, {}, privileged);
  assert.equal((await work.exec(free, "mkdir /x")).exitCode, 0, "not for a privileged one");
  const missing = setting.daemon.path("missing.json");
  await refused(
    localhost(missing),
    code.NOT_FOUND,
    new RegExp(`seccomp profile "${missing}" does not exist`),
  );
  for (const [content, message] of [
    ["{", /JSON/],
    [{ defaultAction: "SCMP_ACT_MAYBE" }, /SCMP_ACT_MAYBE/],
    [{ defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["x"], action: "none" }] }, /none/],
  ] as const) {
    const broken = profile("broken.json", content);
    await refused(localhost(broken), code.INVALID_ARGUMENT, new RegExp(broken));
    await refused(localhost(broken), code.INVALID_ARGUMENT, message);
  }
  await refused(
    localhost("relative.json"),
    code.INVALID_ARGUMENT,
    /"relative\.json" is not an absolute path/,
  );
});

test("seccomp: an agent that a profile names gets a listener for each process of the container", async () => {
  const agent = await SeccompAgent.begin(setting.daemon.path("."));
  try {
    const listener = {
      defaultAction: "SCMP_ACT_ALLOW",
      listenerPath: agent.path,
      listenerMetadata: "of the node",
      syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_NOTIFY" }],
    };
    const localhost_ref = profile("listener.json", listener);
    const id = await run({ seccomp: { profile_type: LOCALHOST, localhost_ref } });
    const first = await agent.state();
    const state = first["state"] as Record<string, unknown>;
    assert.deepEqual([first["metadata"], state["id"], state["status"]], ["of the node", id, "creating"]);
    assert.ok(existsSync(String(state["bundle"])));
    const { exitCode, stderr } = await work.exec(id, "mkdir /asked");
    assert.equal(exitCode, 1);
    assert.match(stderr, /can't create directory '\/asked'/);
    const second = await agent.state();
    const init = state["pid"];
    assert.deepEqual((second["state"] as object as { status: string; pid: number }).pid, init);
    assert.notEqual(second["pid"], init);
    await work.client.RemoveContainer({ container_id: id });
    assert.ok(!existsSync(String(state["bundle"])));
  } finally {
    await agent.end();
  }
  const silent = { defaultAction: "SCMP_ACT_NOTIFY" };
  await refused(
    { seccomp: { profile_type: LOCALHOST, localhost_ref: profile("silent.json", silent) } },
    code.INVALID_ARGUMENT,
    /silent\.json.*SCMP_ACT_NOTIFY needs a listenerPath/,
  );
});

test("masked and read-only paths: the default ones, and those that are asked for instead", async () => {
  const plain = await run({});
  assert.equal(await work.read(plain, "cat /proc/interrupts; ls /sys/firmware"), "");
  assert.match((await work.exec(plain, "echo 1 > /proc/sys/kernel/pid_max")).stderr, /Read-only/);
  const own = await run({ masked_paths: ["/proc/uptime", "/tmp"], readonly_paths: ["/etc/passwd", "/var"] });
  assert.equal(await work.read(own, "cat /proc/uptime; ls /tmp"), "");
  for (const path of ["/etc/passwd", "/var/x"])
    assert.match((await work.exec(own, `echo >> ${path}`)).stderr, /Read-only/);
  assert.match((await work.exec(own, "touch /tmp/x")).stderr, /Read-only/);
  const free = await run({ privileged: true, masked_paths: ["/etc"] }, {}, privileged);
  assert.equal((await work.exec(free, "ls /etc/passwd")).exitCode, 0, "not for a privileged one");
});

test("AppArmor: a profile that was named is missed where the kernel has none; the default is not", async (t) => {
  if (existsSync("/sys/module/apparmor/parameters/enabled")) return t.skip("this kernel has AppArmor");
  for (const localhost_ref of ["mine", "localhost/mine"])
    await refused(
      { apparmor: { profile_type: LOCALHOST, localhost_ref } },
      code.FAILED_PRECONDITION,
      /AppArmor profile "mine": this host has no AppArmor/,
    );
  await refused({ apparmor_profile: "localhost/mine" }, code.FAILED_PRECONDITION, /AppArmor profile "mine"/);
  for (const profile_type of [RUNTIME_DEFAULT, UNCONFINED]) await run({ apparmor: { profile_type } });
});

test("SELinux labels are ignored where the kernel has none, on mounts too", async (t) => {
  if (existsSync("/sys/fs/selinux/enforce")) return t.skip("this kernel has SELinux");
  const host_path = setting.daemon.path("relabelled");
  mkdirSync(host_path);
  const mounts = [{ host_path, container_path: "/data", selinux_relabel: true }];
  const id = await run({ selinux_options: { type: "spc_t", level: "s0,c4" } }, { mounts });
  assert.equal((await work.exec(id, "touch /data/x")).exitCode, 0);
});

test("devices behind links, and all of a directory", async () => {
  const links = setting.daemon.path("devices");
  mkdirSync(links);
  symlinkSync("/dev/full", `${links}/full`);
  const devices = [
    { host_path: `${links}/full`, container_path: "/dev/linked", permissions: "rw" },
    { host_path: "/dev/net", container_path: "/dev/whole", permissions: "rwm" },
  ].filter(({ host_path }) => existsSync(host_path));
  const id = await run({}, { devices });
  assert.match((await work.exec(id, "echo > /dev/linked")).stderr, /No space left/);
  if (devices.length > 1) assert.equal(await work.read(id, "ls /dev/whole"), "tun");
  await assert.rejects(
    run({}, { devices: [{ host_path: "/dev/none", container_path: "/dev/x", permissions: "r" }] }),
    {
      code: code.NOT_FOUND,
    },
  );
});

test("a privileged container may write where a plain one may not, and has every capability that the host can give", async () => {
  const id = await run({ privileged: true }, {}, privileged);
  assert.match(await work.read(id, "grep ' /sys ' /proc/mounts"), / rw,/);
  assert.match(await work.read(id, "grep -m1 ' /sys/fs/cgroup' /proc/mounts"), / rw,/);
  const own = /^CapBnd:\s*(\w+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  assert.equal(await work.read(id, "sed -n 's/^CapEff:\\s*//p' /proc/1/status"), own);
  assert.match(await work.read(await run({}), "grep ' /sys ' /proc/mounts"), / ro,/);
});

test("neither a container nor what is executed in it has the daemon's session keyring, or another container's", async () => {
  const keyrings = (id: string): number => readFileSync("/proc/keys", "utf8").split(`_ses.${id}:`).length - 1;
  const id = await run({});
  assert.equal(keyrings(id), 1);
  const executed = work.exec(id, "until [ -e /tmp/end ]; do sleep 0.05; done");
  while (keyrings(id) === 1) await sleep(20);
  await work.read(id, "mkdir -p /tmp; touch /tmp/end");
  assert.equal((await executed).exitCode, 0);
});
