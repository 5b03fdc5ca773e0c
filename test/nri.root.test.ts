/** NRI with a plugin on the upstream stub, by connection and from the plugin directory, against a running daemon. */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { copyFile, mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { createConnection, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { nriEvent, nriEvents, nriPlugin } from "./harness/nri-plugin.ts";
import { makeSetting, type Setting } from "./harness/setting.ts";
import { type TestPod, Workload } from "./harness/workload.ts";

let setting: Setting;
let workload: Workload;
let program: string;
let log: string;
let rulesFile: string;
const connected: ChildProcess[] = [];

/** Of the protocol's enums. */
const [SCHED_BATCH, IOPRIO_CLASS_IDLE, MPOL_PREFERRED] = [4, 3, 1];

before(async () => {
  program = await nriPlugin();
  setting = await makeSetting({
    configuration: "request_timeout_ms = 4000\nregistration_timeout_ms = 30000",
  });
  workload = await Workload.begin(setting);
  log = setting.daemon.path("nri-events");
  rulesFile = setting.daemon.path("nri-rules.json");
});
after(async () => {
  for (const child of connected) child.kill("SIGKILL");
  workload.end();
  await setting.finish();
});
beforeEach(async () => {
  await rm(log, { force: true });
  await rules();
});

async function rules(...list: object[]): Promise<void> {
  await writeFile(rulesFile, JSON.stringify(list));
}

/** A plugin that connects; resolves when it has been synchronized. */
async function connect(name: string, file = log, obeyed = rulesFile): Promise<ChildProcess> {
  const child = spawn(program, [], {
    env: {
      NRI_TEST_SOCKET: setting.daemon.nriSocket,
      NRI_TEST_NAME: name,
      NRI_TEST_CONFIG: JSON.stringify({ log: file, rules: obeyed }),
    },
    stdio: "ignore",
  });
  connected.push(child);
  await nriEvent(file, ({ event }) => event === "Synchronize");
  return child;
}

async function ended(child: ChildProcess): Promise<void> {
  while (child.exitCode === null && child.signalCode === null) await sleep(10);
}

function eventsOf(id: string): string[] {
  return nriEvents(log)
    .filter(({ pod, container }) => (container ?? pod) === id)
    .map(({ event }) => event);
}

async function sharesOf(id: string): Promise<string> {
  const { info } = await workload.client.ContainerStatus({ container_id: id, verbose: true });
  const { cgroupPath } = JSON.parse(String(info["info"])) as { cgroupPath: string };
  const v1 = join("/sys/fs/cgroup/cpu", cgroupPath, "cpu.shares");
  return existsSync(v1)
    ? readFileSync(v1, "utf8").trim()
    : `weight ${readFileSync(join("/sys/fs/cgroup", cgroupPath, "cpu.weight"), "utf8").trim()}`;
}

/** What the kernel has for these shares, in the words of sharesOf. */
function sharesText(shares: number): string {
  if (existsSync("/sys/fs/cgroup/cpu")) return String(shares);
  return `weight ${Math.floor(1 + ((shares - 2) * 9999) / 262142)}`;
}

async function withPod(name: string, work: (pod: TestPod) => Promise<void>): Promise<void> {
  const pod = await workload.pod(name);
  try {
    await work(pod);
  } finally {
    await workload.remove(pod);
  }
}

test("a plugin that connects gets the events of a pod, and sees what was there before", async () => {
  await withPod("before", async (old) => {
    const running = await workload.run(old, "old");
    const plugin = await connect("10-events");
    const { pods, containers } = await nriEvent(log, ({ event }) => event === "Synchronize");
    assert.deepEqual(pods, [old.id]);
    assert.deepEqual(containers, [`${running} CONTAINER_RUNNING`]);
    let id = "";
    let pod = "";
    await withPod("events", async (made) => {
      pod = made.id;
      id = await workload.run(made, "short", ["sh", "-c", "exit 4"]);
      const stop = await nriEvent(
        log,
        ({ event, container }) => event === "StopContainer" && container === id,
      );
      assert.deepEqual(
        { state: stop.state, exitCode: stop.exitCode },
        { state: "CONTAINER_STOPPED", exitCode: 4 },
      );
    });
    assert.deepEqual(eventsOf(id), [
      "CreateContainer",
      "PostCreateContainer",
      "StartContainer",
      "PostStartContainer",
      "StopContainer",
      "RemoveContainer",
    ]);
    assert.deepEqual(eventsOf(pod), ["RunPodSandbox", "StopPodSandbox", "RemovePodSandbox"]);
    plugin.kill();
    await ended(plugin);
  });
});

test("adjustments reach the container: environment, mount, devices, shares, hook, scheduling, interface", async () => {
  const plugin = await connect("10-adjust");
  const cdi = setting.daemon.path("cdi");
  await mkdir(cdi, { recursive: true });
  const device = { name: "one", containerEdits: { env: ["FROM_CDI=yes"] } };
  await writeFile(
    join(cdi, "test.json"),
    JSON.stringify({ cdiVersion: "0.6.0", kind: "example.com/thing", devices: [device] }),
  );
  const proof = setting.daemon.path("poststop");
  const link = `gkn${process.pid}`;
  execFileSync("ip", ["link", "add", link, "type", "veth", "peer", "name", `${link}p`]);
  await rules({
    name: "adjusted",
    adjust: {
      env: { FROM_PLUGIN: "42" },
      annotations: { "example.com/plugin": "was here" },
      mounts: [{ destination: "/mnt/host", source: cdi, type: "bind", options: ["rbind", "ro"] }],
      devices: [{ path: "/dev/mynull", type: "c", major: 1, minor: 3 }],
      cdi: ["example.com/thing=one"],
      cpuShares: 321,
      poststop: `cat > ${proof}`,
      linux: {
        scheduler: { policy: SCHED_BATCH, nice: 9 },
        io_priority: { class: IOPRIO_CLASS_IDLE },
        memory_policy: { mode: MPOL_PREFERRED, nodes: "0" },
        net_devices: { [link]: { name: "plugged" } },
      },
    },
  });
  await withPod("adjust", async (pod) => {
    const id = await workload.run(pod, "adjusted");
    assert.equal(await workload.read(id, "echo $FROM_PLUGIN $FROM_CDI"), "42 yes");
    assert.equal(
      await workload.read(id, "ls /mnt/host; touch /mnt/host/x 2>/dev/null || echo refused"),
      "test.json\nrefused",
    );
    assert.equal(await workload.read(id, "echo gone > /dev/mynull; wc -c < /dev/mynull"), "0");
    assert.equal(await sharesOf(id), sharesText(321));
    const { status, info } = await workload.client.ContainerStatus({ container_id: id, verbose: true });
    assert.equal(status?.resources?.linux?.cpu_shares, "321");
    assert.match(String(info["info"]), /"example.com\/plugin":"was here"/);
    const { pid } = JSON.parse(String(info["info"])) as { pid: number };
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]?.split(" ") ?? [];
    assert.deepEqual([stat[16], stat[38]], ["9", "3"], "nice value and policy");
    assert.match(execFileSync("ionice", ["-p", String(pid)], { encoding: "utf8" }), /^idle/);
    assert.match(readFileSync(`/proc/${pid}/numa_maps`, "latin1"), / prefer[^ ]*:0 /);
    assert.match(await workload.read(id, "cat /sys/class/net/plugged/flags"), /^0x1..[13579bdf]$/);
  });
  assert.equal((JSON.parse(readFileSync(proof, "utf8")) as { status: string }).status, "stopped");
  plugin.kill();
  await ended(plugin);
});

test("resources of other containers: with a new container, and unasked", async () => {
  const plugin = await connect("10-balance");
  await withPod("balance", async (pod) => {
    const other = await workload.run(pod, "other");
    await rules({ name: "new", update: [{ container: other, cpuShares: 111 }] });
    await workload.run(pod, "new");
    assert.equal(await sharesOf(other), sharesText(111));
    await rules({
      name: "asking",
      ask: [
        { container: other, cpuShares: 222 },
        { container: "nobody", cpuShares: 5 },
      ],
    });
    await workload.run(pod, "asking");
    const { failed } = await nriEvent(log, ({ event }) => event === "UpdateContainers");
    assert.equal(failed, 1);
    assert.equal(await sharesOf(other), sharesText(222));
    assert.equal(eventsOf(other).includes("UpdateContainer"), false, "who asked is not told");
    await rules({ name: "refused", update: [{ container: "nobody", cpuShares: 5 }] });
    await assert.rejects(workload.create(pod, "refused", ["true"]), /nobody/);
    const { containers } = await workload.client.ListContainers({});
    assert.deepEqual(containers.map(({ metadata }) => metadata?.name ?? "").toSorted(), [
      "asking",
      "new",
      "other",
    ]);
  });
  plugin.kill();
  await ended(plugin);
});

test("a plugin that fails a call fails it, one that hangs or dies is dropped and the call goes on", async () => {
  const steady = setting.daemon.path("nri-steady");
  const steadyRules = setting.daemon.path("nri-steady.json");
  const witness = await connect("90-witness", steady, steadyRules);
  await withPod("faults", async (pod) => {
    const failing = await connect("10-failing");
    await rules({ name: "unwanted", fail: "CreateContainer" });
    await assert.rejects(
      workload.create(pod, "unwanted", ["true"]),
      /plugin "10-failing": CreateContainer: .*told to fail/,
    );
    await rules({ name: "unstarted", fail: "StartContainer" });
    const unstarted = await workload.create(pod, "unstarted", ["true"]);
    await assert.rejects(workload.client.StartContainer({ container_id: unstarted }), /told to fail/);
    assert.deepEqual(await workload.status(unstarted), {
      state: "CONTAINER_EXITED",
      exitCode: 128,
      reason: "StartError",
    });
    failing.kill();
    await ended(failing);
    for (const fault of ["hang", "die"]) {
      await rm(log, { force: true });
      const plugin = await connect(`10-${fault}`);
      await rules({ name: fault, [fault]: "CreateContainer" });
      const id = await workload.run(pod, fault);
      assert.equal((await workload.status(id)).state, "CONTAINER_RUNNING");
      await ended(plugin);
      await nriEvent(steady, ({ event, container }) => event === "StartContainer" && container === id);
    }
  });
  await writeFile(steadyRules, JSON.stringify([{ name: "refused", fail: "RunPodSandbox" }]));
  await assert.rejects(workload.pod("refused"), /plugin "90-witness": RunPodSandbox/);
  assert.deepEqual((await workload.client.ListPodSandbox({})).items, []);
  assert.equal(nriEvents(steady).at(-1)?.event, "RemovePodSandbox");
  witness.kill();
  await ended(witness);
});

test("noise at the socket harms nobody else", async () => {
  const plugin = await connect("10-quiet");
  await withPod("noise", async (pod) => {
    const sockets: Socket[] = [];
    const wrongs = [
      Buffer.alloc(100_000, 0xff),
      // A frame of the runtime's stream with a message of 4 GiB.
      Buffer.from("000000020000000affffffff000000010100", "hex"),
      // Half a header, and nothing more.
      Buffer.from("000000", "hex"),
      Buffer.alloc(0),
    ];
    for (let index = 0; index < 200; index++) {
      const socket = createConnection(setting.daemon.nriSocket);
      socket.on("error", () => undefined);
      socket.write(wrongs[index % wrongs.length] ?? "");
      sockets.push(socket);
    }
    const id = await workload.run(pod, "undisturbed");
    await nriEvent(log, ({ event, container }) => event === "PostStartContainer" && container === id);
    for (const socket of sockets) socket.destroy();
  });
  plugin.kill();
  await ended(plugin);
});

test("plugins of the directory live with the daemon, and see the state after it was killed", async () => {
  const { daemon } = setting;
  const plugins = daemon.path("nri-plugins");
  const configurations = daemon.path("nri-conf.d");
  await mkdir(plugins, { recursive: true });
  await mkdir(configurations, { recursive: true });
  const own = daemon.path("nri-own");
  await copyFile(program, join(plugins, "20-recorder"));
  await copyFile(program, join(plugins, "no-index"));
  await writeFile(join(configurations, "recorder.conf"), JSON.stringify({ log: own, rules: rulesFile }));
  await withPod("survivor", async (pod) => {
    const id = await workload.run(pod, "survivor");
    const brief = await workload.run(pod, "brief", ["true"]);
    await workload.exited(brief);
    await daemon.kill();
    await daemon.run();
    const { pods, containers } = await nriEvent(own, ({ event }) => event === "Synchronize");
    assert.deepEqual(pods, [pod.id]);
    assert.deepEqual(
      containers?.toSorted(),
      [`${brief} CONTAINER_STOPPED`, `${id} CONTAINER_RUNNING`].toSorted(),
    );
    assert.match(nriEvents(own).find(({ event }) => event === "Configure")?.name ?? "", /^gantry /);
    assert.match(daemon.log(), /no-index.*plugin left out/);
    const [pid = -1, ...others] = await processesOf(plugins);
    assert.deepEqual(others, []);

    // The daemon is killed: the plugin ends by itself, and the next daemon starts another.
    await rm(own);
    await daemon.kill();
    while (existsSync(`/proc/${pid}/exe`)) await sleep(10);
    await daemon.run();
    await nriEvent(own, ({ event }) => event === "Synchronize");

    // It hangs: it is killed, and not started again.
    await rules({ name: "hang", hang: "CreateContainer" });
    await workload.run(pod, "hang");
    while ((await processesOf(plugins)).length > 0) await sleep(10);
    assert.match(daemon.log(), /CreateContainer was not answered within 4000 ms/);

    // A clean stop takes it along.
    await daemon.stop();
    await rules();
    await daemon.run();
    assert.equal((await processesOf(plugins)).length, 1);
    await daemon.stop();
    assert.deepEqual(await processesOf(plugins), []);
    await rm(plugins, { recursive: true });
    await daemon.run();
  });
});

test("a plugin that outlives a killed daemon is ended by the next one", async () => {
  const { daemon } = setting;
  const plugins = daemon.path("nri-plugins");
  const configurations = daemon.path("nri-conf.d");
  await mkdir(plugins, { recursive: true });
  await mkdir(configurations, { recursive: true });
  const own = daemon.path("nri-stubborn");
  const pidFile = daemon.path("nri-stubborn-pid");
  await writeFile(join(configurations, "stubborn.conf"), JSON.stringify({ log: own, rules: rulesFile }));
  const script = `#!/bin/sh\necho $$ >${pidFile}\n${program} &\nexec sleep 1000\n`;
  await writeFile(join(plugins, "40-stubborn"), script, { mode: 0o755 });
  const started = async (): Promise<string> => {
    await rm(own, { force: true });
    await daemon.kill();
    await daemon.run();
    await nriEvent(own, ({ event }) => event === "Synchronize");
    return readFileSync(pidFile, "utf8").trim();
  };
  const first = await started();
  const second = await started();
  assert.notEqual(first, second);
  while (existsSync(`/proc/${first}/exe`)) await sleep(10);
  assert.ok(existsSync(`/proc/${second}/exe`));
  await rm(plugins, { recursive: true });
  await daemon.stop();
  assert.ok(!existsSync(`/proc/${second}/exe`));
  await daemon.run();
});

/** Pids of the processes whose program is below the directory. */
async function processesOf(directory: string): Promise<number[]> {
  return (await readdir("/proc"))
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/exe`).startsWith(directory);
      } catch {
        return false;
      }
    });
}
