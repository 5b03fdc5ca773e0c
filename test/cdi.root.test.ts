/** CDI devices through the CRI: what a container finds, its hooks, and what is refused. */
import assert from "node:assert/strict";
import { status as code } from "@grpc/grpc-js";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { makeSetting, type Setting } from "./harness/setting.ts";
import { FOREVER, type TestPod, Workload } from "./harness/workload.ts";

const KIND = "test.example/thing";
const BOTH_WAYS = 2;

let setting: Setting;
let work: Workload;
let pod: TestPod;
let shared = "";

before(async () => {
  setting = await makeSetting({ network: "none" });
  work = await Workload.begin(setting);
  const security_context = { namespace_options: { pid: 1 }, privileged: true };
  pod = await work.pod("cdi", { linux: { security_context } });
  mkdirSync(setting.daemon.path("cdi"));
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

function devices(byName: Record<string, object>, containerEdits: object = {}): void {
  const list = Object.entries(byName).map(([name, edits]) => ({ name, containerEdits: edits }));
  const file = { cdiVersion: "1.1.0", kind: KIND, devices: list, containerEdits };
  writeFileSync(setting.daemon.path("cdi", "thing.json"), JSON.stringify(file));
}

/** A hook that writes what it is given to a file of its own, and then runs more. */
function hook(hookName: string, more = ""): object {
  const path = setting.daemon.path(`hook-${hookName}`);
  const [state, environment] = [`${path}.state`, `${path}.env`];
  writeFileSync(path, `#!/bin/sh\ncat > ${state}\nenv > ${environment}\npwd >> ${environment}\n${more}\n`, {
    mode: 0o755,
  });
  return { hookName, path, args: [hookName, "arg"], env: ["ONLY=this", "PATH=/usr/bin:/bin"] };
}

interface State {
  id: string;
  status: string;
  bundle: string;
  pid: number;
}
const stateOf = (hookName: string): State =>
  JSON.parse(readFileSync(setting.daemon.path(`hook-${hookName}.state`), "utf8")) as State;

let count = 0;
const asking = (names: string[], more: object = {}): object => ({
  CDI_devices: names.map((name) => ({ name })),
  ...more,
});
const run = (names: string[], more: object = {}): Promise<string> =>
  work.run(pod, `c${++count}`, FOREVER, asking(names, more));

test("nodes, environment, mounts and groups; for exec too", async () => {
  const host = setting.daemon.path("tools");
  mkdirSync(host);
  writeFileSync(`${host}/tool`, "of the host");
  devices(
    {
      one: {
        deviceNodes: [{ path: "/dev/thing0", hostPath: "/dev/full", permissions: "rw" }],
        additionalGids: [4321],
      },
      two: { env: ["TWO=2"] },
    },
    { env: ["ALL=yes"], mounts: [{ hostPath: host, containerPath: "/opt/tools", options: ["ro", "rbind"] }] },
  );
  const id = await run([`${KIND}=one`, `${KIND}=two`]);
  assert.match((await work.exec(id, "echo > /dev/thing0")).stderr, /No space left/);
  assert.equal(await work.read(id, "echo $ALL$TWO; cat /opt/tools/tool"), "yes2\nof the host");
  assert.match(await work.read(id, "id -G"), / 4321$/);
  assert.match((await work.exec(id, "touch /opt/tools/x")).stderr, /Read-only/);
  const { status } = await work.client.ContainerStatus({ container_id: id });
  assert.deepEqual(status?.user?.linux?.supplemental_groups, ["0", "4321"]);
});

test("network interfaces of the host become the pod's; a class needs resctrl", async () => {
  const link = `gkc${process.pid}`;
  execFileSync("ip", ["link", "add", link, "type", "veth", "peer", "name", `${link}p`]);
  execFileSync("ip", ["addr", "add", "198.51.100.77/32", "dev", link]);
  devices({
    net: { netDevices: [{ hostInterfaceName: link, name: "given0" }] },
    class: { intelRdt: { closID: "gold" } },
  });
  const own = await work.pod("net", { linux: { security_context: { namespace_options: { pid: 1 } } } });
  const id = await work.run(own, "net", FOREVER, asking([`${KIND}=net`]));
  assert.match(await work.read(id, "ip -o addr show dev given0"), /inet 198\.51\.100\.77\/32/);
  await work.client.RemoveContainer({ container_id: id });
  const next = await work.run(own, "next", FOREVER, asking([`${KIND}=net`]));
  assert.match(await work.read(next, "ip -o addr show dev given0"), /inet 198\.51\.100\.77\/32/);
  await work.remove(own);
  if (existsSync("/sys/fs/resctrl/schemata")) return;
  await assert.rejects(run([`${KIND}=class`]), /linux\.intelRdt: no resctrl filesystem is mounted/);
});

test("hooks run at their time, with their own environment and the container's state, and find its files", async () => {
  const look = 'cat $(sed \'s/.*"bundle":"\\([^"]*\\)".*/\\1/\' $0.state)/rootfs/etc/passwd > $0.found';
  devices({
    hooked: {
      hooks: [hook("createRuntime"), hook("createContainer", look), hook("poststart"), hook("poststop")],
    },
  });
  const envs = [{ key: "LD_PRELOAD", value: Buffer.from("/evil.so") }];
  const id = await run([`${KIND}=hooked`], { envs });
  const before = stateOf("createRuntime");
  assert.deepEqual([before.id, before.status, stateOf("createContainer").status], [id, "created", "created"]);
  assert.deepEqual([stateOf("poststart").status, stateOf("poststart").pid], ["running", before.pid]);
  assert.match(readFileSync(setting.daemon.path("hook-createContainer.found"), "utf8"), /^root:/);
  for (const name of ["createRuntime", "createContainer", "poststart"]) {
    const environment = readFileSync(setting.daemon.path(`hook-${name}.env`), "utf8");
    assert.ok(environment.includes("ONLY=this") && !environment.includes("LD_PRELOAD"), environment);
  }
  assert.deepEqual(readdirSync(`${before.bundle}/rootfs`), [], "mounted for the container only");
  assert.ok(!existsSync(setting.daemon.path("hook-poststop.state")));
  await work.client.StopContainer({ container_id: id, timeout: 0 });
  await work.client.RemoveContainer({ container_id: id });
  assert.equal(stateOf("poststop").status, "stopped");
  assert.ok(!existsSync(before.bundle));
});

test("a hook that fails fails the start, by name and with its words", async () => {
  for (const name of ["createRuntime", "createContainer", "poststart"]) {
    devices({ failing: { hooks: [hook(name, "echo because >&2; exit 3")] } });
    const id = await work.create(pod, `failing-${name}`, FOREVER, asking([`${KIND}=failing`]));
    await assert.rejects(work.client.StartContainer({ container_id: id }), (error: Error) => {
      assert.ok(
        error.message.endsWith(`hook ${setting.daemon.path(`hook-${name}`)}: exit status 3: because`),
        error.message,
      );
      return true;
    });
    assert.equal((await work.status(id)).reason, "StartError");
    await work.client.RemoveContainer({ container_id: id });
  }
});

test("a hook that takes too long is killed, and what it leaves behind is not waited for", async () => {
  devices({ slow: { hooks: [{ ...hook("poststart", "exec sleep 1000"), timeout: 1 }] } });
  const id = await work.create(pod, "slow", FOREVER, asking([`${KIND}=slow`]));
  await assert.rejects(work.client.StartContainer({ container_id: id }), /did not end in 1 s/);
  devices({ quick: { hooks: [hook("poststart", "sleep 1000 & echo $! > $0.left")] } });
  await run([`${KIND}=quick`]);
  process.kill(Number(readFileSync(setting.daemon.path("hook-poststart.left"), "utf8")), "SIGKILL");
});

test("a poststop hook that takes longer than a removal waits runs once all the same", async () => {
  const longest = { timeout: 2 ** 40 };
  devices({
    slow: {
      hooks: [hook("poststart"), hook("poststop", "echo ran >> $0.ran; sleep 3")].map((one) => ({
        ...one,
        ...longest,
      })),
    },
  });
  const id = await run([`${KIND}=slow`]);
  const { bundle } = stateOf("poststart");
  await work.client.RemoveContainer({ container_id: id });
  assert.equal(readFileSync(setting.daemon.path("hook-poststop.ran"), "utf8"), "ran\n");
  assert.ok(!existsSync(bundle));
});

test("a rootfs that hooks can see does not reach the host through shared mounts", async () => {
  devices({ hooked: { hooks: [hook("createContainer")] } });
  const mounts = [{ host_path: shared, container_path: "/both", propagation: BOTH_WAYS }];
  const security = { linux: { security_context: { privileged: true } } };
  const id = await run([`${KIND}=hooked`], { mounts, ...security });
  assert.ok(!readFileSync("/proc/self/mountinfo", "utf8").includes(stateOf("createContainer").bundle));
  mkdirSync(`${shared}/inner`);
  await work.read(id, "mount -t tmpfs tmpfs /both/inner");
  assert.ok(
    readFileSync("/proc/self/mountinfo", "utf8").includes(`${shared}/inner`),
    "propagates none the less",
  );
});

test("what is unknown or malformed is refused; annotations bring no device", async () => {
  devices({ one: { env: ["ONE=1"] } });
  for (const [name, expected, message] of [
    [`${KIND}=none`, code.NOT_FOUND, /CDI device "test\.example\/thing=none" is in no file/],
    ["nonsense", code.INVALID_ARGUMENT, /CDI device "nonsense"/],
  ] as const)
    await assert.rejects(run([name]), (error: Error & { code: number }) => {
      assert.match(error.message, message);
      assert.equal(error.code, expected);
      return true;
    });
  const id = await run([], { annotations: { "cdi.k8s.io/x": `${KIND}=one` } });
  assert.equal(await work.read(id, "echo $ONE"), "");
});
