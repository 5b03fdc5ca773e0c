/**
 * Pods in networks of real CNI plugins: Debian's, and the reference ones of a release that speaks version 1.1. With
 * packets, failures, live changes and restarts; afterwards no address, rule, cached result or device is left.
 */
import assert from "node:assert/strict";
import { chmod, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type CriClient, criClient } from "../src/cri/client.ts";
import { bridgeConf, cniHoldings, writeConf } from "./harness/cni.ts";
import { referencePlugins } from "./harness/cni-plugins.ts";
import { runCommand } from "./harness/command.ts";
import { freePort } from "./harness/free-port.ts";
import { patient } from "./harness/patience.ts";
import { BUSYBOX, containerConfig, makeSetting, podConfig, type Setting } from "./harness/setting.ts";

const PORTMAP = { type: "portmap", capabilities: { portMappings: true } };

let setting: Setting;
let cri: CriClient;
let subnet6: string;

before(async () => {
  setting = await makeSetting({ network: "cni" });
  const { daemon } = setting;
  subnet6 = `fd77:${daemon.name.slice(2, 6)}::/64`;
  await mkdir(daemon.path("cni-bin"));
  connect();
  await cri.PullImage({ image: { image: BUSYBOX } });
});
beforeEach(() => inForce("10-test.conflist", bridgeConf(setting.daemon)));
afterEach(async () => {
  for (const { id } of (await cri.ListPodSandbox({})).items)
    await cri.RemovePodSandbox({ pod_sandbox_id: id });
  for (const name of await readdir(setting.daemon.path("net.d")))
    await rm(setting.daemon.path("net.d", name), { recursive: true });
  assert.deepEqual(await cniHoldings(setting.daemon), []);
  assert.deepEqual(await bridgePorts(), []);
});
after(async () => {
  cri?.close();
  await setting?.finish();
});

function connect(): void {
  cri?.close();
  cri = criClient(setting.daemon.endpoint);
}

async function restart(): Promise<void> {
  await setting.daemon.kill();
  await setting.daemon.run();
  connect();
}

interface NetworkReport {
  ready: boolean;
  message: string;
  networks: { name: string; cniVersion: string; plugins: { type: string }[] }[];
  failedChecks: Record<string, string>;
  load: string;
}

async function report(): Promise<NetworkReport> {
  const { status, info } = await cri.Status({ verbose: true });
  const condition = status?.conditions.find(({ type }) => type === "NetworkReady");
  return {
    ...(JSON.parse(info["cniconfig"] ?? "{}") as Pick<NetworkReport, "networks" | "failedChecks">),
    ready: condition?.status ?? false,
    message: condition?.message ?? "",
    load: JSON.parse(info["lastCNILoadStatus"] ?? `""`) as string,
  };
}

/** Waits until it is so; the last report otherwise. */
async function reported(condition: (report: NetworkReport) => boolean): Promise<NetworkReport> {
  let last = await report();
  for (let attempt = 0; attempt < 500 && !condition(last); attempt++) {
    await sleep(20);
    last = await report();
  }
  assert.ok(condition(last), JSON.stringify(last));
  return last;
}

async function inForce(name: string, conf: object): Promise<void> {
  const plugins = (conf as { plugins: { type: string }[] }).plugins.map(({ type }) => type).join();
  await writeConf(setting.daemon, name, conf);
  await reported(({ networks }) => networks[0]?.plugins.map(({ type }) => type).join() === plugins);
}

async function bridgePorts(): Promise<string[]> {
  const { stdout } = await runCommand("ip", ["-o", "link", "show", "master", setting.daemon.bridge]);
  return stdout.split("\n").filter((line) => line !== "");
}

async function runPod(
  name: string,
  more: object = {},
): Promise<{ id: string; ips: string[]; netns: string }> {
  const { pod_sandbox_id: id } = await cri.RunPodSandbox({ config: podConfig(name, more) });
  const { status } = await cri.PodSandboxStatus({ pod_sandbox_id: id });
  const { ip = "", additional_ips = [] } = status?.network ?? {};
  const ips = [ip, ...additional_ips.map((other) => other.ip)];
  return { id, ips, netns: setting.daemon.path("state/pods", id, "ns/net") };
}

async function pings(address: string, netns?: string): Promise<boolean> {
  const command = ["busybox", "ping", "-c", "1", "-W", "3", address];
  const inside = netns === undefined ? command : ["nsenter", `--net=${netns}`, ...command];
  const [program = "", ...args] = inside;
  return (await runCommand(program, args)).code === 0;
}

async function script(name: string, lines: string): Promise<void> {
  const path = setting.daemon.path("cni-bin", name);
  await writeFile(path, `#!/bin/sh\n${lines}\n`);
  await chmod(path, 0o755);
}

test("a chain of five plugins, two families, port mappings and bandwidth, with packets", async () => {
  const { daemon } = setting;
  const more = [
    PORTMAP,
    { type: "bandwidth", capabilities: { bandwidth: true } },
    { type: "firewall" },
    { type: "tuning", sysctl: { "net.core.somaxconn": "500" } },
  ];
  await inForce("10-test.conflist", bridgeConf(daemon, { subnet6, more }));
  const port = await freePort();
  const config = {
    annotations: { "kubernetes.io/ingress-bandwidth": "20M", "kubernetes.io/egress-bandwidth": "10M" },
    port_mappings: [{ protocol: 0, container_port: 8080, host_port: port, host_ip: "" }],
  };
  const pod = await runPod("chained", config);
  const [ip4 = "", ip6 = ""] = pod.ips;
  assert.match(ip4, /^10\./);
  assert.match(ip6, /^fd77:/);
  // An IPv6 address is usable once the kernel has seen that nobody else has it.
  for (let attempt = 0; attempt < 50 && !(await pings(ip6)); attempt++) await sleep(100);
  for (const ip of pod.ips) assert.ok(await pings(ip), `the host reaches ${ip}`);
  assert.ok(await pings(daemon.subnet.replace(/0\/24$/, "1"), pod.netns), "the pod reaches the host");
  assert.ok(await pings(subnet6.replace("/64", "1"), pod.netns), "by both families");

  const sandbox_config = podConfig("chained", config);
  const command = ["sh", "-c", "mkdir /w; echo served > /w/index.html; exec httpd -f -p 8080 -h /w"];
  const container = containerConfig("web", command);
  const { container_id } = await cri.CreateContainer({
    pod_sandbox_id: pod.id,
    config: container,
    sandbox_config,
  });
  await cri.StartContainer({ container_id });
  const get = async (host: string): Promise<string> => {
    const answer = fetch(`http://${host}/`, { signal: AbortSignal.timeout(patient(10_000)) }).then((reply) =>
      reply.text(),
    );
    return (await answer.catch(() => "")).trim();
  };
  for (let attempt = 0; attempt < 50 && (await get(`${ip4}:8080`)) === ""; attempt++) await sleep(50);
  assert.equal(await get(`${ip4}:8080`), "served");
  assert.equal(await get(`127.0.0.1:${port}`), "served", "by its port of the host");

  const { stdout: qdiscs } = await runCommand("tc", ["qdisc"]);
  assert.match(qdiscs, /qdisc tbf .* rate 20Mbit/);
  assert.match(qdiscs, /qdisc tbf .* rate 10Mbit/);
  const somaxconn = await cri.ExecSync({
    container_id,
    cmd: ["cat", "/proc/sys/net/core/somaxconn"],
    timeout: 5,
  });
  assert.equal(somaxconn.stdout.toString().trim(), "500");
  await cri.StopPodSandbox({ pod_sandbox_id: pod.id });
  assert.deepEqual(await cniHoldings(daemon), []);
  await cri.StopPodSandbox({ pod_sandbox_id: pod.id });
});

test("a pod is detached with what it was attached with, after the configuration and the cached result have gone", async () => {
  const { daemon } = setting;
  const pod = await runPod("older");
  const other = { ...bridgeConf(daemon), name: `${daemon.name}x` };
  await writeConf(daemon, "05-other.conflist", other);
  await reported(({ networks }) => networks[0]?.name === `${daemon.name}x`);
  const newer = await runPod("newer");
  assert.ok((await pings(pod.ips[0] ?? "")) && (await pings(newer.ips[0] ?? "")));
  await cri.RemovePodSandbox({ pod_sandbox_id: newer.id });
  await rm(daemon.path("cni-cache"), { recursive: true });
  await rm(daemon.path("net.d"), { recursive: true });
  await reported(({ ready }) => !ready);
  await assert.rejects(runPod("late"), /no CNI configuration in/);
  await cri.RemovePodSandbox({ pod_sandbox_id: pod.id });
  assert.deepEqual(await cniHoldings(daemon), []);
  await mkdir(daemon.path("net.d"));
});

test("a failed ADD leaves no address, rule, device or namespace", async () => {
  const { daemon } = setting;
  await script("breaks", `[ $CNI_COMMAND != ADD ] || { echo '{"code":101,"msg":"no"}'; exit 1; }`);
  await inForce("10-test.conflist", bridgeConf(daemon, { more: [PORTMAP, { type: "breaks" }] }));
  const port_mappings = [{ protocol: 0, container_port: 80, host_port: await freePort(), host_ip: "" }];
  await assert.rejects(
    runPod("broken", { port_mappings }),
    /CNI plugin "breaks": ADD failed: no \(code 101\)/,
  );
  assert.deepEqual(await cniHoldings(daemon), []);
  assert.deepEqual(await bridgePorts(), []);
  assert.deepEqual(await daemon.filesBelow("state/pods"), []);
});

test("a plugin that hangs is ended with the client's deadline, and its pod undone", async () => {
  const { daemon } = setting;
  const pids = daemon.path("hanging");
  await script(
    "hangs",
    `[ $CNI_COMMAND != ADD ] || { sleep 600 & echo $! >> ${pids}; echo $$ >> ${pids}; wait; }`,
  );
  await inForce("10-test.conflist", bridgeConf(daemon, { more: [{ type: "hangs" }] }));
  const plugin = async (): Promise<string> => readFile(pids, "utf8").catch(() => "");
  // Again, and with more time, where it has passed before the plugin was called.
  for (let timeoutMs = 1500; (await plugin()).split("\n").length < 3; timeoutMs *= 2)
    await assert.rejects(cri.RunPodSandbox({ config: podConfig("hanging") }, { timeoutMs }));
  for (let attempt = 0; attempt < 250 && (await cniHoldings(daemon)).length > 0; attempt++) await sleep(20);
  assert.deepEqual(await cniHoldings(daemon), []);
  for (const pid of (await plugin()).trim().split("\n")) {
    // A zombie is the first process's to reap. One that was killed ends a moment later.
    const stat = async (): Promise<string> => readFile(`/proc/${pid}/stat`, "utf8").catch(() => ") Z");
    for (let n = 0; n < 500 && !/\) Z/.test(await stat()); n++) await sleep(20);
    assert.match(await stat(), /\) Z/, `process ${pid} has ended`);
  }
  for (let n = 0; n < 250 && (await daemon.filesBelow("state/pods")).length > 0; n++) await sleep(20);
  assert.deepEqual(await daemon.filesBelow("state/pods"), []);
});

test("what is missing or not valid is named", async () => {
  const { daemon } = setting;
  await inForce("10-test.conflist", bridgeConf(daemon, { more: [{ type: "not-installed" }] }));
  const { message } = await reported(({ ready }) => !ready);
  assert.match(message, /CNI plugin "not-installed" is not in .*cni-bin, \/usr\/lib\/cni/);
  await assert.rejects(runPod("nowhere"), /CNI plugin "not-installed" is not in/);
  await writeConf(daemon, "10-test.conflist", `{"name": "x", "plugins": [`);
  await reported(({ load }) => /net\.d\/10-test\.conflist: it is not JSON/.test(load));
  await restart();
  assert.match((await report()).message, /net\.d\/10-test\.conflist: it is not JSON/);
  await assert.rejects(runPod("malformed"), /10-test\.conflist: it is not JSON/);
  await inForce("10-test.conflist", bridgeConf(daemon));
  await reported(({ ready }) => ready);
  assert.equal((await runPod("mended")).ips.length, 1);
});

test("after a restart attachments are checked, and what is wrong is told", async () => {
  const [right, wrong] = [await runPod("right"), await runPod("wrong")];
  await runCommand("nsenter", [`--net=${wrong.netns}`, "ip", "route", "delete", "default"]);
  await restart();
  const { failedChecks } = await reported((found) => Object.keys(found.failedChecks).length > 0);
  assert.deepEqual(Object.keys(failedChecks), [wrong.id]);
  assert.match(failedChecks[wrong.id] ?? "", /CNI plugin "bridge": CHECK failed: /);
  assert.ok(await pings(right.ips[0] ?? ""));
});

test("plugins of version 1.1 collect what is left of nobody's pods, and say whether they are ready", async () => {
  const { daemon } = setting;
  for (const name of ["bridge", "host-local", "portmap"])
    await script(name, `exec ${await referencePlugins()}/${name}`);
  // The reference plugins do nothing at GC; this one does what an address plugin does.
  await script(
    "judges",
    `input=$(cat)
    case $CNI_COMMAND in
      ADD) echo "$input" | sed 's/.*"prevResult":\\({.*}\\)[^}]*}$/\\1/' ;;
      STATUS) [ ! -e ${daemon.path("full")} ] || { echo '{"code":50,"msg":"no room"}'; exit 1; } ;;
      GC) echo "$input" >> ${daemon.path("collected")} ;;
    esac`,
  );
  await inForce(
    "10-test.conflist",
    bridgeConf(daemon, { cniVersion: "1.1.0", more: [PORTMAP, { type: "judges" }] }),
  );
  const port_mappings = [{ protocol: 0, container_port: 80, host_port: await freePort(), host_ip: "" }];
  const pod = await runPod("modern", { port_mappings });
  assert.equal(pod.ips.length, 1);
  const foreign = { kind: "cniCacheV1", containerId: "foreign", ifName: "eth7", networkName: daemon.name };
  await writeFile(daemon.path("cni-cache/results", `${daemon.name}-foreign-eth7`), JSON.stringify(foreign));
  await restart();
  await reported(({ ready }) => ready);
  const collected = async (): Promise<string> => readFile(daemon.path("collected"), "utf8").catch(() => "");
  for (let n = 0; n < 500 && !(await collected()).includes(pod.id); n++) await sleep(20);
  const [gc = "{}"] = (await collected()).trim().split("\n").slice(-1);
  assert.deepEqual((JSON.parse(gc) as Record<string, unknown>)["cni.dev/valid-attachments"], [
    { containerID: pod.id, ifname: "eth0" },
    { containerID: "foreign", ifname: "eth7" },
  ]);
  assert.deepEqual((await report()).failedChecks, {});
  await writeFile(daemon.path("full"), "");
  assert.match(
    (await reported(({ ready }) => !ready)).message,
    /"judges": STATUS failed: no room \(code 50\)/,
  );
  await rm(daemon.path("full"));
  await reported(({ ready }) => ready);
  await cri.RemovePodSandbox({ pod_sandbox_id: pod.id });
  await rm(daemon.path("cni-cache/results", `${daemon.name}-foreign-eth7`));
  await rm(daemon.path("cni-bin"), { recursive: true });
  await mkdir(daemon.path("cni-bin"));
});

test("the node's pod addresses reach plugins that ask for them, and wrong ones change nothing", async () => {
  const { daemon } = setting;
  const conf = bridgeConf(daemon) as { plugins: { ipam: { ranges?: unknown }; capabilities?: object }[] };
  const [bridge] = conf.plugins;
  assert.ok(bridge);
  delete bridge.ipam.ranges;
  bridge.capabilities = { ipRanges: true };
  await writeConf(daemon, "10-test.conflist", conf);
  const set = (pod_cidr: string) =>
    cri.UpdateRuntimeConfig({ runtime_config: { network_config: { pod_cidr } } });
  await set(daemon.subnet);
  for (const wrong of ["10.0.0.0", "10.0.0.0/40", "fd00::/64,zz"])
    await assert.rejects(set(wrong), /INVALID_ARGUMENT/, wrong);
  await set("");
  await restart();
  const pod = await runPod("ranged");
  assert.equal((pod.ips[0] ?? "").replace(/\d+$/, "0/24"), daemon.subnet);
});
