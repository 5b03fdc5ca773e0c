/** Pods with a user namespace of their own: what their root is, what it may, and what it is on the host. */
import assert from "node:assert/strict";
import { status as code } from "@grpc/grpc-js";
import { readFile, readlink } from "node:fs/promises";
import { after, before, test } from "node:test";
import { assertHoldings, holdings } from "./harness/holdings.ts";
import { makeSetting, type Setting } from "./harness/setting.ts";
import { BASE, CONTAINER, LENGTH, MAPPING, NODE, POD, USER, options, own } from "./harness/user-namespace.ts";
import { FOREVER, type TestPod, Workload } from "./harness/workload.ts";

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

/** A container in a pod of its own with a user namespace. */
async function inContainer(
  name: string,
  more: object,
  use: (id: string, pod: TestPod) => Promise<void>,
): Promise<void> {
  await work.inPod(name, own(), async (pod) =>
    use(await work.run(pod, "one", FOREVER, { ...own(), ...more }), pod),
  );
}

async function hostPid(id: string): Promise<number> {
  const { info } = await work.client.ContainerStatus({ container_id: id, verbose: true });
  return (JSON.parse(info["info"] ?? "{}") as { pid: number }).pid;
}

test("the handler tells of it", async () => {
  const { status, runtime_handlers, features } = await work.client.Status({});
  assert.ok(status);
  assert.equal(runtime_handlers[0]?.features?.user_namespaces, true);
  assert.equal(features?.user_namespaces_host_network, true);
});

test("the container's root is nobody on the host", async () => {
  await inContainer("root", {}, async (id) => {
    assert.equal(
      (await work.read(id, "cat /proc/self/uid_map")).replaceAll(/\s+/g, " ").trim(),
      `0 ${BASE} ${LENGTH}`,
    );
    assert.equal(
      (await work.read(id, "cat /proc/1/gid_map")).replaceAll(/\s+/g, " ").trim(),
      `0 ${BASE} ${LENGTH}`,
    );
    assert.equal(await work.read(id, "id -u; id -g"), "0\n0");
    const pid = await hostPid(id);
    const status = await readFile(`/proc/${pid}/status`, "utf8");
    assert.match(status, new RegExp(`^Uid:\\t${BASE}\\t${BASE}\\t${BASE}\\t${BASE}$`, "m"));
    assert.match(status, new RegExp(`^Gid:\\t${BASE}\\t${BASE}\\t${BASE}\\t${BASE}$`, "m"));
    for (const name of ["user", "pid", "mnt", "net", "ipc", "uts"])
      assert.notEqual(
        await work.read(id, `readlink /proc/self/ns/${name}`),
        await readlink(`/proc/self/ns/${name}`),
        name,
      );
    // What an exec is.
    assert.equal(await work.read(id, "readlink /proc/self/ns/user"), await readlink(`/proc/${pid}/ns/user`));
    assert.equal(await work.read(id, "cat /proc/self/uid_map"), await work.read(id, "cat /proc/1/uid_map"));
    assert.equal((await work.exec(id, "stat -L -c %u /proc/self/fd/1")).stdout, "0\n");
  });
});

test("a container that is not root has its ids on the host", async () => {
  await work.inPod("user", own(), async (pod) => {
    const id = await work.run(
      pod,
      "one",
      FOREVER,
      own({ run_as_user: { value: "1000" }, run_as_group: { value: "2000" }, supplemental_groups: ["3000"] }),
    );
    assert.equal(
      await work.read(
        id,
        "id -u; id -G; cat /proc/self/status | grep CapEff; touch /dev/shm/x && stat -c %u /dev/shm/x",
      ),
      "1000\n2000 3000\nCapEff:\t0000000000000000\n1000",
    );
    const status = await readFile(`/proc/${await hostPid(id)}/status`, "utf8");
    assert.match(status, new RegExp(`^Uid:\\t${BASE + 1000}\\t`, "m"));
    const outside = own({ run_as_user: { value: String(LENGTH) } });
    await assert.rejects(work.create(pod, "outside", FOREVER, outside), {
      code: code.INVALID_ARGUMENT,
      message: /user 65536 is not mapped/,
    });
  });
});

test("its capabilities are over the pod and not over the host", async () => {
  const all = own({ capabilities: { add_capabilities: ["ALL"] } });
  await inContainer("power", all, async (id) => {
    assert.match(await work.read(id, "grep CapEff /proc/self/status"), /CapEff:\t0*[1-9a-f][0-9a-f]+$/);
    // Over the pod's own network, names and mounts.
    await work.read(
      id,
      "ip link set lo down && ip link set lo up; hostname renamed; mount -t tmpfs none /tmp && umount /tmp",
    );
    // Not over the host's kernel.
    for (const script of [
      "mount -o remount,rw,bind /proc/sys; echo 1 > /proc/sys/kernel/panic",
      "mount -o remount,rw,bind /proc/sys; echo 1 > /proc/sys/vm/swappiness",
      "mknod /null c 1 3",
      "cat /proc/kmsg",
      "mount -t ext4 /dev/vda /tmp",
      "echo h > /proc/sysrq-trigger",
      "chroot /proc/1/root/../../ true 2>/dev/null && ls /proc/self/root/../run/gantry",
    ])
      assert.notEqual((await work.exec(id, script)).exitCode, 0, script);
    // Masks cannot be lifted to more than the host's root would show it.
    assert.notEqual((await work.exec(id, "umount /proc/kcore; head -c 1 /proc/kcore")).exitCode, 0);
  });
});

test("sysctls of the pod are set, and its root may set more of them", async () => {
  const sysctls = {
    "net.ipv4.ip_unprivileged_port_start": "81",
    "kernel.shmmax": "4096000",
    "fs.mqueue.msg_max": "12",
  };
  const security_context = { namespace_options: { pid: CONTAINER, userns_options: USER }, privileged: true };
  await work.inPod("sysctls", { linux: { sysctls, security_context } }, async (pod) => {
    const id = await work.run(pod, "one", FOREVER, own({ privileged: true }));
    assert.equal(
      await work.read(
        id,
        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shmmax /proc/sys/fs/mqueue/msg_max",
      ),
      "81\n4096000\n12",
    );
    await work.read(
      id,
      "echo 90 > /proc/sys/net/ipv4/ip_unprivileged_port_start; echo 8192000 > /proc/sys/kernel/shmmax",
    );
    assert.equal(await work.read(id, "cat /proc/sys/kernel/shmmax"), "8192000");
    assert.notEqual((await work.exec(id, "echo 1 > /proc/sys/vm/swappiness")).exitCode, 0);
  });
});

test("a privileged container has all capabilities of its user namespace, and no device of the host", async () => {
  const security_context = { namespace_options: { pid: CONTAINER, userns_options: USER }, privileged: true };
  await work.inPod("privileged", { linux: { security_context } }, async (pod) => {
    const id = await work.run(pod, "one", FOREVER, own({ privileged: true }));
    const disks = await work.read(id, "find /dev -type b");
    for (const disk of disks.split("\n").filter((path) => path !== ""))
      assert.notEqual((await work.exec(id, `head -c 1 ${disk}`)).exitCode, 0, disk);
    assert.match(await work.read(id, "mount | grep ' /sys '"), /\(rw/);
    assert.notEqual((await work.exec(id, "echo 1 > /sys/kernel/mm/transparent_hugepage/defrag")).exitCode, 0);
  });
});

test("containers of the pod share its user namespace, and a PID namespace where they ask for one", async () => {
  const shared = options({ pid: POD, userns_options: USER });
  await work.inPod("shared", shared, async (pod) => {
    const [one, two] = [
      await work.run(pod, "one", FOREVER, shared),
      await work.run(pod, "two", FOREVER, shared),
    ];
    for (const name of ["user", "pid", "net", "ipc", "uts"])
      assert.equal(
        await work.read(one, `readlink /proc/self/ns/${name}`),
        await work.read(two, `readlink /proc/self/ns/${name}`),
        name,
      );
    assert.equal(
      await work.read(one, "cat /proc/1/comm; grep -c . /proc/1/uid_map; echo x > /dev/shm/note"),
      "pause\n1",
    );
    assert.equal(await work.read(two, "cat /dev/shm/note; rm /dev/shm/note"), "x");
    // A container that names no user namespace has its pod's.
    const three = await work.run(pod, "three", FOREVER, options({ pid: POD }));
    assert.equal(
      await work.read(three, "readlink /proc/self/ns/user"),
      await work.read(one, "readlink /proc/self/ns/user"),
    );
    const other = { mode: POD, uids: [{ container_id: 0, host_id: 1, length: 9 }], gids: MAPPING };
    for (const userns_options of [other, { mode: NODE }])
      await assert.rejects(work.create(pod, "other", FOREVER, options({ pid: POD, userns_options })), {
        code: code.INVALID_ARGUMENT,
        message: /is not that of its pod sandbox/,
      });
  });
});

test("with the host's network it has the host's interfaces and no power over them", async () => {
  const host = options({ network: NODE, pid: CONTAINER, userns_options: USER });
  await work.inPod("host-network", { ...host, hostname: "" }, async (pod) => {
    const id = await work.run(pod, "one", FOREVER, host);
    assert.equal(await work.read(id, "readlink /proc/self/ns/net"), await readlink("/proc/self/ns/net"));
    assert.notEqual((await work.exec(id, "ip link add dummy9 type dummy")).exitCode, 0);
    await work.read(id, "ls /sys/class/net/lo");
    assert.match(await work.read(id, "mount | grep ' /sys '"), /\(ro/);
    assert.equal(await work.read(id, "mount | grep -c ' /sys/kernel/' || true"), "0");
  });
});

test("it survives the daemon, is stopped and killed like any other, and leaves nothing", async () => {
  const before = await holdings(setting.daemon);
  await inContainer("survivor", { log_path: "survivor.log", stdin: false }, async (id, pod) => {
    const namespace = await work.read(id, "readlink /proc/self/ns/user");
    await setting.daemon.kill();
    await setting.daemon.run();
    const { status } = await work.client.PodSandboxStatus({ pod_sandbox_id: pod.id });
    assert.equal(status?.state, "SANDBOX_READY");
    assert.equal(await work.read(id, "readlink /proc/self/ns/user"), namespace);
    const later = await work.run(pod, "later", ["sh", "-c", "echo said; id -u; echo bad >&2; exit 3"], own());
    assert.deepEqual(await work.exited(later), { exitCode: 3, reason: "Error" });
    const { stats } = await work.client.ContainerStats({ container_id: id });
    assert.ok(Number(stats?.memory?.working_set_bytes?.value) > 0);
    await work.client.StopContainer({ container_id: id, timeout: 10 });
    assert.deepEqual(await work.exited(id), { exitCode: 0, reason: "Completed" });
  });
  await assertHoldings(setting.daemon, before);
});

test("what exceeds its memory is OOMKilled", async () => {
  await work.inPod("oom", own(), async (pod) => {
    const linux = { ...(own() as { linux: object }).linux, resources: { memory_limit_in_bytes: "20971520" } };
    const id = await work.run(pod, "one", ["sh", "-c", "head -c 60000000 /dev/zero | tail"], { linux });
    assert.deepEqual(await work.exited(id), { exitCode: 137, reason: "OOMKilled" });
  });
});
