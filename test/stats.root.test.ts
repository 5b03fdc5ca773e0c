/** Statistics and metrics of real containers that do something, through the CRI and through crictl. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { makeSetting, type Setting } from "./harness/setting.ts";
import { FOREVER, type TestPod, Workload } from "./harness/workload.ts";

const MIB = 2 ** 20;
const CONTAINER_PID = { linux: { security_context: { namespace_options: { pid: 1 } } } };
const HOST_NETWORK = {
  hostname: "",
  linux: { security_context: { namespace_options: { network: 2, pid: 1 } } },
};
/** The kernel keeps pressure of each v2 group, unless it was told not to. */
const pressureIsKept = ["/sys/fs/cgroup/unified/cpu.pressure", "/sys/fs/cgroup/cgroup.pressure"].some(
  existsSync,
);

let setting: Setting;
let work: Workload;
let pod: TestPod;
let busy: string;
let idle: string;

before(async () => {
  setting = await makeSetting();
  work = await Workload.begin(setting);
  pod = await work.pod("busy", CONTAINER_PID);
  busy = await work.run(pod, "busy", FOREVER, {
    linux: {
      resources: {
        cpu_period: 100_000,
        cpu_quota: 90_000,
        cpu_shares: 300,
        memory_limit_in_bytes: 128 * MIB,
        memory_swap_limit_in_bytes: 128 * MIB,
      },
      // NET_RAW for ping.
      security_context: {
        ...CONTAINER_PID.linux.security_context,
        capabilities: { add_capabilities: ["NET_RAW"] },
      },
    },
  });
  idle = await work.run(pod, "idle", FOREVER, CONTAINER_PID);
});
after(async () => {
  work?.end();
  await setting?.finish();
});

const number = (value: { value: string } | null | undefined): number => Number(value?.value ?? NaN);

async function containerStats(id: string) {
  const { stats } = await work.client.ContainerStats({ container_id: id });
  assert.ok(stats?.cpu && stats.memory && stats.swap);
  return { ...stats, cpu: stats.cpu, memory: stats.memory, swap: stats.swap };
}

async function podStats(id: string) {
  const { stats } = await work.client.PodSandboxStats({ pod_sandbox_id: id });
  assert.ok(stats?.linux);
  return stats.linux;
}

/** Repeats until it holds; the test's own time limit is what ends it otherwise. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(250);
}

test("the first reading has a rate, and a busy container has a higher one than an idle one", async () => {
  assert.ok((await containerStats(idle)).cpu.usage_nano_cores);
  await work.exec(busy, "(while :; do :; done) & echo $! > /tmp/spin");
  await until(async () => number((await containerStats(busy)).cpu.usage_nano_cores) > 50_000_000);
  const before = await containerStats(busy);
  await sleep(600);
  const later = await containerStats(busy);
  assert.ok(number(later.cpu.usage_core_nano_seconds) > number(before.cpu.usage_core_nano_seconds));
  assert.ok(BigInt(later.cpu.timestamp) > BigInt(before.cpu.timestamp));
  const of = await podStats(pod.id);
  assert.ok(number(of.cpu?.usage_core_nano_seconds) >= number(later.cpu.usage_core_nano_seconds));
  assert.ok(number(of.cpu?.usage_nano_cores) > 0);
  await work.exec(busy, "kill $(cat /tmp/spin)");
});

test("memory: what is used, what is left of the limit, and faults", async () => {
  await work.exec(busy, "head -c 20971520 /dev/zero > /dev/shm/filled");
  const { memory, swap } = await containerStats(busy);
  assert.ok(number(memory.usage_bytes) >= 20 * MIB);
  assert.ok(number(memory.working_set_bytes) >= 20 * MIB);
  assert.equal(number(memory.available_bytes), 128 * MIB - number(memory.working_set_bytes));
  assert.ok(number(memory.page_faults) > 0);
  assert.equal(number(swap.swap_usage_bytes), 0);
  assert.equal(number(swap.swap_available_bytes), 0);
  const { memory: unlimited } = await containerStats(idle);
  assert.equal(unlimited.available_bytes, null);
  const { memory: ofPod } = await podStats(pod.id);
  assert.ok(number(ofPod?.usage_bytes) >= number(memory.usage_bytes));
  await work.exec(busy, "rm /dev/shm/filled");
});

test("pressure where the kernel keeps it for groups", async () => {
  const { cpu, memory, io } = await containerStats(busy);
  for (const psi of [cpu.psi, memory.psi, io?.psi])
    assert.equal(psi !== null && psi !== undefined, pressureIsKept);
  if (pressureIsKept) {
    // It was held back by its quota while it span.
    assert.ok(Number(cpu.psi?.Some?.Total) > 0);
    assert.ok((await podStats(pod.id)).io?.psi?.Full);
  }
});

test("the writable layer grows by what is written", { timeout: 60_000 }, async () => {
  // A first call does not wait for a walk that takes long.
  await until(async () => Boolean((await containerStats(busy)).writable_layer));
  const small = (await containerStats(busy)).writable_layer;
  assert.ok(number(small?.inodes_used) >= 1);
  await work.exec(busy, "dd if=/dev/zero of=/written bs=1M count=8 conv=fsync");
  await until(async () => number((await containerStats(busy)).writable_layer?.used_bytes) >= 8 * MIB);
  const large = (await containerStats(busy)).writable_layer;
  assert.ok(BigInt(large?.timestamp ?? 0) > BigInt(small?.timestamp ?? 0));
  const { image_filesystems: images } = await work.client.ImageFsInfo({});
  assert.equal(large?.fs_id?.mountpoint, images[0]?.fs_id?.mountpoint);
});

test("a pod's network, processes and containers; none of the network on the host's", async () => {
  const before = (await podStats(pod.id)).network?.default_interface;
  assert.equal(before?.name, "eth0");
  const gateway = await work.read(busy, "ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p'");
  assert.equal((await work.exec(busy, `ping -c 5 -i 0.2 -s 1000 ${gateway}`)).exitCode, 0);
  const after = (await podStats(pod.id)).network;
  assert.ok(number(after?.default_interface?.tx_bytes) >= number(before.tx_bytes) + 5000);
  assert.ok(number(after?.default_interface?.rx_bytes) >= number(before.rx_bytes) + 5000);
  assert.deepEqual(after?.interfaces, []);
  const { process, containers } = await podStats(pod.id);
  assert.equal(number(process?.process_count), 4);
  assert.deepEqual(
    containers.map(({ attributes }) => attributes?.id ?? "").toSorted(),
    [busy, idle].toSorted(),
  );

  const host = await work.pod("on-host", HOST_NETWORK);
  try {
    assert.equal((await podStats(host.id)).network, null);
  } finally {
    await work.remove(host);
  }
});

test("a pod that was stopped uses nothing, is in no list, and is still answered", async () => {
  const stopped = await work.pod("stopped", CONTAINER_PID);
  const id = await work.run(stopped, "main", FOREVER, CONTAINER_PID);
  const listed = async () =>
    (await work.client.ListPodSandboxStats({ filter: { id: stopped.id } })).stats.length;
  assert.equal(await listed(), 1);
  await work.client.StopPodSandbox({ pod_sandbox_id: stopped.id });
  assert.equal(await listed(), 0);
  const { memory, network, process, containers } = await podStats(stopped.id);
  assert.equal(number(memory?.working_set_bytes), 0);
  assert.equal(network, null);
  assert.equal(number(process?.process_count), 0);
  assert.deepEqual(containers, []);
  assert.equal(number((await containerStats(id)).cpu.usage_core_nano_seconds), 0);
  assert.deepEqual((await work.client.ListContainerStats({ filter: { id } })).stats, []);
  await work.remove(stopped);
});

test("lists by filter, and the streams say the same", async () => {
  const { stats } = await work.client.ListPodSandboxStats({ filter: { label_selector: { app: "busy" } } });
  assert.deepEqual(
    stats.map(({ attributes }) => attributes?.id),
    [pod.id],
  );
  const none = await work.client.ListPodSandboxStats({ filter: { label_selector: { app: "other" } } });
  assert.deepEqual(none.stats, []);
  const streamed = await work.client.StreamPodSandboxStats({});
  assert.deepEqual(
    streamed.flatMap(({ pod_sandbox_stats: pods }) => pods.map(({ attributes }) => attributes?.id)),
    [pod.id],
  );
  const metrics = await work.client.StreamPodSandboxMetrics({});
  assert.deepEqual(
    metrics.flatMap(({ pod_sandbox_metrics: pods }) => pods.map(({ pod_sandbox_id: id }) => id)),
    [pod.id],
  );
});

test("metrics: every one described, and what was done is in them", async () => {
  const keys = new Map(
    (await work.client.ListMetricDescriptors({})).descriptors.map(({ name, label_keys: labels }) => [
      name,
      labels,
    ]),
  );
  const { pod_metrics: pods } = await work.client.ListPodSandboxMetrics({});
  assert.deepEqual(
    pods.map(({ pod_sandbox_id: id }) => id),
    [pod.id],
  );
  const container = pods[0]?.container_metrics.find(({ container_id: id }) => id === busy);
  const all = [...(pods[0]?.metrics ?? []), ...(container?.metrics ?? [])];
  for (const { name, label_values: values } of all) assert.equal(values.length, keys.get(name)?.length, name);
  const value = (name: string, ...labels: string[]): number =>
    number(
      all.find((each) => each.name === name && labels.every((label) => each.label_values.includes(label)))
        ?.value,
    );

  const stats = await containerStats(busy);
  const seconds = number(stats.cpu.usage_core_nano_seconds) / 1e9;
  assert.ok(Math.abs(value("container_cpu_usage_seconds_total", "total") - seconds) <= 1);
  assert.ok(value("container_cpu_cfs_periods_total") > 0);
  assert.ok(value("container_cpu_cfs_throttled_periods_total") >= 0);
  assert.equal(value("container_spec_cpu_period"), 100_000);
  assert.equal(value("container_spec_cpu_quota"), 90_000);
  assert.equal(value("container_spec_cpu_shares"), 300);
  assert.equal(value("container_spec_memory_limit_bytes"), 128 * MIB);
  assert.equal(value("container_spec_memory_swap_limit_bytes"), 0);
  assert.ok(value("container_memory_max_usage_bytes") >= 20 * MIB);
  assert.ok(value("container_memory_failures_total", "pgfault", "container") > 0);
  assert.ok(value("container_fs_usage_bytes") >= 8 * MIB);
  assert.ok(value("container_fs_limit_bytes") > value("container_fs_usage_bytes"));
  assert.ok(value("container_fs_inodes_total") > value("container_fs_inodes_free"));
  assert.equal(value("container_processes"), 2);
  assert.equal(value("container_threads"), 2);
  assert.ok(value("container_file_descriptors") >= 6);
  assert.equal(value("container_sockets"), 0);
  assert.ok(value("container_ulimits_soft", "max_open_files") > 0);
  assert.equal(value("container_oom_events_total"), 0);
  assert.ok(value("container_network_transmit_bytes_total", "eth0") >= 5000);
  assert.ok(value("container_network_receive_packets_total", "eth0") >= 5);
  assert.ok(Math.abs(value("container_last_seen") - Date.now() / 1000) < 60);
  assert.ok(value("container_start_time_seconds") <= value("container_last_seen"));
  if (pressureIsKept) assert.ok(value("container_pressure_cpu_waiting_seconds_total") >= 0);
});

test("bytes written to a block device, where the kernel attributes them", async (t) => {
  const { pod_metrics: pods } = await work.client.ListPodSandboxMetrics({});
  const written = pods
    .flatMap(({ container_metrics: containers }) => containers)
    .flatMap(({ metrics }) => metrics)
    .filter(({ name }) => name === "container_fs_writes_bytes_total");
  if (written.length === 0) return t.skip("the disk of this host counts nothing for cgroups");
  assert.ok(written.some(({ value }) => number(value) >= 8 * MIB));
  for (const { label_values: labels } of written) assert.match(labels[0] ?? "", /^\/dev\//);
});

test("lists go on while containers come and go", async () => {
  let going = true;
  const churn = async (name: string): Promise<void> => {
    for (let n = 0; n < 6; n++) {
      const short = await work.pod(`${name}-${n}`, CONTAINER_PID);
      await work.run(short, "short", ["true"], CONTAINER_PID);
      await work.remove(short);
    }
  };
  const poll = async (): Promise<void> => {
    while (going) {
      const { stats } = await work.client.ListPodSandboxStats({});
      assert.ok(stats.some(({ attributes }) => attributes?.id === pod.id));
      await work.client.ListContainerStats({});
      await work.client.ListPodSandboxMetrics({});
    }
  };
  const polls = [poll(), poll()];
  await Promise.all([churn("one"), churn("two")]).finally(() => (going = false));
  await Promise.all(polls);
});

test("crictl shows them", async () => {
  const { crictl } = setting;
  const stats = await crictl.json<{ stats: { attributes: { id: string } }[] }>("stats", "-o", "json");
  assert.deepEqual(stats.stats.map(({ attributes }) => attributes.id).toSorted(), [busy, idle].toSorted());
  assert.match(await crictl.run("stats"), /busy/);
  const pods = await crictl.json<{ stats: { attributes: { id: string }; linux: object }[] }>(
    "statsp",
    "-o",
    "json",
  );
  assert.deepEqual(
    pods.stats.map(({ attributes }) => attributes.id),
    [pod.id],
  );
  assert.match(await crictl.run("statsp"), /busy/);
  const metrics = await crictl.json<{ podMetrics: { podSandboxId: string }[] }>("metricsp");
  assert.deepEqual(
    metrics.podMetrics.map(({ podSandboxId }) => podSandboxId),
    [pod.id],
  );
  const { descriptors } = await crictl.json<{ descriptors: { name: string }[] }>("metricdescs");
  assert.ok(descriptors.some(({ name }) => name === "container_cpu_usage_seconds_total"));
});
