/** What the containers of a pod share with each other, with the host and with nobody; seen from inside. */
import assert from "node:assert/strict";
import { status as code } from "@grpc/grpc-js";
import { readFile, readlink, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import { after, before, test } from "node:test";
import { text } from "node:stream/consumers";
import { freePort } from "./harness/free-port.ts";
import { assertHoldings, holdings } from "./harness/holdings.ts";
import { makeSetting, type Setting } from "./harness/setting.ts";
import { FOREVER, Workload } from "./harness/workload.ts";

const [POD, CONTAINER, NODE, TARGET] = [0, 1, 2, 3];

let setting: Setting;
let work: Workload;

before(async () => {
  setting = await makeSetting();
  work = await Workload.begin(setting);
});
after(async () => {
  work?.end();
  await setting?.finish();
});

const options = (namespace_options: object): object => ({
  linux: { security_context: { namespace_options } },
});
const ownPid = options({ pid: CONTAINER });
const namespace = (id: string, name: string): Promise<string> =>
  work.read(id, `readlink /proc/self/ns/${name}`);
const hostNamespace = (name: string): Promise<string> => readlink(`/proc/self/ns/${name}`);

test("PID namespaces: the pod's, the container's, the host's, another container's", async () => {
  await work.inPod("pid", options({ pid: POD }), async (pod) => {
    const [one, two] = [await work.run(pod, "one"), await work.run(pod, "two")];
    const own = await work.run(pod, "own", FOREVER, ownPid);
    const host = await work.run(pod, "host", FOREVER, options({ pid: NODE }));
    const guest = await work.run(pod, "guest", FOREVER, options({ pid: TARGET, target_id: own }));
    const found = await Promise.all([one, two, own, host, guest].map((id) => namespace(id, "pid")));
    assert.equal(found[0], found[1]);
    assert.equal(found[2], found[4]);
    assert.equal(found[3], await hostNamespace("pid"));
    assert.equal(new Set(found).size, 3);
    assert.equal(await work.read(one, "cat /proc/1/comm"), "pause");
    assert.equal(await work.read(own, "cat /proc/1/comm"), "sh");
    assert.equal(await work.read(guest, "cat /proc/1/comm"), "sh");
    await work.client.StopContainer({ container_id: two, timeout: 5 });
    assert.equal((await work.status(one)).state, "CONTAINER_RUNNING");
    // The namespace that it has joined ends with its first process.
    await work.client.StopContainer({ container_id: own, timeout: 5 });
    assert.equal((await work.exited(guest)).exitCode, 137);
  });
});

test("a container may share a PID namespace that its pod did not make", async () => {
  await work.inPod("late", ownPid, async (pod) => {
    const [one, two] = [
      await work.run(pod, "one", FOREVER, options({ pid: POD })),
      await work.run(pod, "two", FOREVER, options({ pid: POD })),
    ];
    assert.equal(await namespace(one, "pid"), await namespace(two, "pid"));
    await setting.daemon.kill();
    await setting.daemon.run();
    const three = await work.run(pod, "three", FOREVER, options({ pid: POD }));
    assert.equal(await namespace(three, "pid"), await namespace(one, "pid"));
  });
});

test("a target that is not of the pod, or does not run, is refused", async () => {
  await work.inPod("target", ownPid, async (pod) => {
    const one = await work.run(pod, "one");
    const lost = await work.create(pod, "lost", FOREVER, options({ pid: TARGET, target_id: "f".repeat(64) }));
    await assert.rejects(work.client.StartContainer({ container_id: lost }), { code: code.NOT_FOUND });
    await work.client.StopContainer({ container_id: one, timeout: 0 });
    const late = await work.create(pod, "late", FOREVER, options({ pid: TARGET, target_id: one }));
    await assert.rejects(work.client.StartContainer({ container_id: late }), {
      code: code.FAILED_PRECONDITION,
    });
    const stranger = await work.pod("stranger", ownPid);
    const foreign = await work.create(
      stranger,
      "foreign",
      FOREVER,
      options({ pid: TARGET, target_id: late }),
    );
    await assert.rejects(work.client.StartContainer({ container_id: foreign }), { code: code.NOT_FOUND });
    await work.remove(stranger);
  });
});

test("IPC and /dev/shm: the pod's or the host's", async () => {
  await work.inPod("ipc", {}, async (pod) => {
    const [one, two] = [await work.run(pod, "one"), await work.run(pod, "two")];
    await work.read(one, "echo hello > /dev/shm/note");
    assert.equal(await work.read(two, "cat /dev/shm/note"), "hello");
    assert.equal(await namespace(one, "ipc"), await namespace(two, "ipc"));
    assert.notEqual(await namespace(one, "ipc"), await hostNamespace("ipc"));
  });
  const note = `/dev/shm/${setting.daemon.name}`;
  await work.inPod("host-ipc", options({ ipc: NODE }), async (pod) => {
    const id = await work.run(pod, "one", FOREVER, options({ ipc: NODE }));
    await writeFile(note, "of the host");
    assert.equal(await work.read(id, `cat ${note}; rm ${note}`), "of the host");
    assert.equal(await namespace(id, "ipc"), await hostNamespace("ipc"));
  });
});

test("network, hostname and files of a pod with its own network", async () => {
  const dns_config = {
    servers: ["10.9.8.7", "fd00::7"],
    searches: ["a.example", "b.example"],
    options: ["ndots:5"],
  };
  await work.inPod("named", { hostname: "my-host", dns_config }, async (pod) => {
    const [one, two] = [await work.run(pod, "one"), await work.run(pod, "two")];
    const { status } = await work.client.PodSandboxStatus({ pod_sandbox_id: pod.id });
    const ip = status?.network?.ip ?? "";
    for (const id of [one, two]) {
      assert.match(
        await work.read(id, "ip -4 addr show eth0"),
        new RegExp(`inet ${ip.replaceAll(".", "\\.")}/24`),
      );
      assert.match(await work.read(id, "ip link show lo"), /LOOPBACK,UP/);
      assert.equal(
        await work.read(id, "hostname; cat /etc/hostname; echo $HOSTNAME"),
        "my-host\nmy-host\nmy-host",
      );
      assert.equal(
        await work.read(id, "cat /etc/resolv.conf"),
        "search a.example b.example\nnameserver 10.9.8.7\nnameserver fd00::7\noptions ndots:5",
      );
    }
    assert.equal(await namespace(one, "net"), await namespace(two, "net"));
    assert.notEqual(await namespace(one, "net"), await hostNamespace("net"));
    assert.notEqual(await namespace(one, "uts"), await hostNamespace("uts"));
  });
  await work.inPod("undecided", {}, async (pod) => {
    const id = await work.run(pod, "one");
    assert.equal(
      `${await work.read(id, "cat /etc/resolv.conf")}\n`,
      await readFile("/etc/resolv.conf", "utf8"),
    );
  });
});

test("the host's network: its devices, its name, no address of its own", async () => {
  const host = options({ network: NODE, pid: CONTAINER });
  await work.inPod("host-net", { hostname: "", ...host }, async (pod) => {
    const id = await work.run(pod, "one", FOREVER, host);
    assert.equal(await namespace(id, "net"), await hostNamespace("net"));
    assert.equal(await work.read(id, "hostname"), hostname());
    const before = Object.keys(networkInterfaces());
    const devices = (await work.read(id, "ls /sys/class/net")).split(/\s+/);
    // Other tests have devices that come and go.
    const lasting = Object.keys(networkInterfaces()).filter((name) => before.includes(name));
    assert.ok(lasting.length > 0);
    for (const name of lasting) assert.ok(devices.includes(name), name);
    const { status } = await work.client.PodSandboxStatus({ pod_sandbox_id: pod.id });
    assert.equal(status?.network?.ip, "");
  });
});

test("sysctls of the pod's namespaces are set; those of the host are refused, and nothing is left", async () => {
  const sysctls = {
    "net.ipv4.ip_unprivileged_port_start": "7",
    "kernel.shm_rmid_forced": "1",
    "fs/mqueue/msg_max": "20",
  };
  await work.inPod("sysctl", { linux: { sysctls } }, async (pod) => {
    const id = await work.run(pod, "one");
    const paths = Object.keys(sysctls).map((name) => `/proc/sys/${name.replaceAll(".", "/")}`);
    assert.equal(await work.read(id, `cat ${paths.join(" ")}`), Object.values(sysctls).join("\n"));
  });
  const before = await holdings(setting.daemon);
  const hostNetwork = { namespace_options: { network: NODE, pid: CONTAINER } };
  const refused: object[] = [
    { sysctls: { "kernel.panic": "1" } },
    { sysctls: { "vm.overcommit_memory": "1" } },
    { sysctls: { "net.ipv4.ip_forward": "1" }, security_context: hostNetwork },
    { sysctls: { "kernel.shmmax": "1" }, security_context: { namespace_options: { ipc: NODE } } },
    { sysctls: { "kernel/../vm/overcommit_memory": "1" } },
    { sysctls: { "kernel.shm_rmid_forced": "1+kernel.core_pattern=|/x" } },
  ];
  for (const [n, linux] of refused.entries())
    await assert.rejects(work.pod(`refused-${n}`, { linux }), { code: code.INVALID_ARGUMENT });
  // Allowed by name, and not there in this kernel: it fails while the pod is being made.
  await assert.rejects(work.pod("missing", { linux: { sysctls: { "net.no.such": "1" } } }), /net.no.such/);
  await assertHoldings(setting.daemon, before);
});

test("a port of the host leads into the pod, and is free again after it", async () => {
  const port = await freePort();
  const port_mappings = [{ protocol: 0, container_port: 8000, host_port: port, host_ip: "" }];
  for (const attempt of [1, 2])
    await work.inPod(`port-${attempt}`, { port_mappings, ...ownPid }, async (pod) => {
      await work.run(pod, "server", ["sh", "-c", `while :; do echo pod ${attempt} | nc -l -p 8000; done`]);
      assert.equal(await fromPort(port), `pod ${attempt}\n`);
      const rival = work.pod("rival", { port_mappings });
      await assert.rejects(rival, { code: code.FAILED_PRECONDITION });
    });
});

async function fromPort(port: number): Promise<string> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await text(connect(port, "127.0.0.1"));
    } catch (error) {
      if (attempt === 600) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
