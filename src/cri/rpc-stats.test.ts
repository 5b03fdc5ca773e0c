/** The RPCs of statistics and metrics, through a real server and client. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { status } from "@grpc/grpc-js";
import {
  fakeEngine,
  sampleContainer,
  samplePodMeasures,
  samplePodSandbox,
  samplePodUsage,
  sampleUsage,
} from "./fake-engine.ts";
import { serveForTest } from "./serve-for-test.ts";

/** The portions given, as an engine gives lists. */
function portions<T>(...lists: T[][]): () => AsyncIterable<T[]> {
  return async function* () {
    yield* lists;
  };
}

test("stats of containers: exact counters, pressure and io where the kernel has them", async () => {
  await using served = await serveForTest(fakeEngine());
  const { stats } = await served.client.ContainerStats({ container_id: sampleContainer.id });
  assert.equal(stats?.cpu?.usage_core_nano_seconds?.value, "9007199254740993");
  assert.equal(stats?.cpu?.usage_nano_cores?.value, "250000000");
  assert.deepEqual(stats?.cpu?.psi, {
    Full: null,
    Some: { Total: "7000", Avg10: 1.5, Avg60: 0.25, Avg300: 0 },
  });
  assert.equal(stats?.memory?.working_set_bytes?.value, "2048");
  assert.equal(stats?.memory?.available_bytes, null);
  assert.equal(stats?.memory?.psi, null);
  assert.equal(stats?.io?.timestamp, "1763700003000000007");
  assert.equal(stats?.io?.psi?.Full?.Total, "8000");
  assert.equal(stats?.swap?.swap_usage_bytes?.value, "0");
  assert.equal(stats?.writable_layer?.fs_id?.mountpoint, "/var/lib/gantry");
  assert.equal(stats?.attributes?.metadata?.name, "main");
  const { stats: list } = await served.client.ListContainerStats({});
  assert.deepEqual(list, [stats]);
  await assert.rejects(served.client.ContainerStats({ container_id: "zz" }), { code: status.NOT_FOUND });
});

test("a list is made of its portions, and a stream has no empty message", async () => {
  const container = (id: string) => ({ ...sampleUsage, container: { ...sampleContainer, id } });
  const pod = (id: string) => ({ ...samplePodUsage, sandbox: { ...samplePodSandbox, id } });
  const metrics = (id: string) => ({ ...samplePodMeasures, sandbox: { ...samplePodSandbox, id } });
  await using served = await serveForTest(
    fakeEngine({
      listContainerStats: portions([container("a"), container("b")], [container("c")]),
      listPodStats: portions([pod("a"), pod("b")], [pod("c")]),
      listPodMeasures: portions([metrics("a"), metrics("b")], [metrics("c")]),
    }),
  );
  const { client } = served;
  const ids = (items: readonly { attributes: { id: string } | null }[]) =>
    items.map(({ attributes }) => attributes?.id);
  assert.deepEqual(ids((await client.ListContainerStats({})).stats), ["a", "b", "c"]);
  assert.deepEqual(
    (await client.StreamContainerStats({})).map(({ container_stats: stats }) => ids(stats)),
    [["a", "b"], ["c"]],
  );
  assert.deepEqual(ids((await client.ListPodSandboxStats({})).stats), ["a", "b", "c"]);
  assert.deepEqual(
    (await client.StreamPodSandboxStats({})).map(({ pod_sandbox_stats: stats }) => ids(stats)),
    [["a", "b"], ["c"]],
  );
  assert.deepEqual(
    (await client.ListPodSandboxMetrics({})).pod_metrics.map(({ pod_sandbox_id: id }) => id),
    ["a", "b", "c"],
  );
  assert.deepEqual(
    (await client.StreamPodSandboxMetrics({})).map(({ pod_sandbox_metrics: pods }) => pods.length),
    [2, 1],
  );
});

test("nothing listed is an empty reply and a stream without a message", async () => {
  await using served = await serveForTest(
    fakeEngine({ listContainerStats: portions(), listPodStats: portions(), listPodMeasures: portions() }),
  );
  const { client } = served;
  assert.deepEqual((await client.ListContainerStats({})).stats, []);
  assert.deepEqual((await client.ListPodSandboxStats({})).stats, []);
  assert.deepEqual((await client.ListPodSandboxMetrics({})).pod_metrics, []);
  assert.deepEqual(await client.StreamContainerStats({}), []);
  assert.deepEqual(await client.StreamPodSandboxStats({}), []);
  assert.deepEqual(await client.StreamPodSandboxMetrics({}), []);
});

test("a failure midway is an error and not a shorter list", async () => {
  await using served = await serveForTest(
    fakeEngine({
      listPodStats: async function* () {
        yield [samplePodUsage];
        throw new Error("no more");
      },
    }),
  );
  await assert.rejects(served.client.ListPodSandboxStats({}), { code: status.INTERNAL });
  await assert.rejects(served.client.StreamPodSandboxStats({}), { code: status.INTERNAL });
});

test("stats of pods: the cgroup's, the interfaces' and the containers'", async () => {
  await using served = await serveForTest(fakeEngine());
  const { stats } = await served.client.PodSandboxStats({ pod_sandbox_id: samplePodSandbox.id });
  assert.equal(stats?.attributes?.metadata?.uid, "uid-1");
  assert.deepEqual(stats?.attributes?.annotations, samplePodSandbox.config.annotations);
  const linux = stats?.linux;
  assert.equal(linux?.cpu?.usage_core_nano_seconds?.value, "5000000000");
  assert.equal(linux?.cpu?.usage_nano_cores, null);
  assert.equal(linux?.memory?.available_bytes?.value, "100");
  assert.equal(linux?.process?.process_count?.value, "4");
  assert.equal(linux?.network?.default_interface?.name, "eth0");
  assert.equal(linux?.network?.default_interface?.rx_bytes?.value, String(2 ** 40));
  assert.deepEqual(
    linux?.network?.interfaces.map(({ name }) => name),
    ["net1"],
  );
  assert.equal(linux?.io, null);
  assert.equal(linux?.containers[0]?.attributes?.id, sampleContainer.id);
  await assert.rejects(served.client.PodSandboxStats({ pod_sandbox_id: "zz" }), { code: status.NOT_FOUND });
  await assert.rejects(served.client.PodSandboxStats({}), { code: status.INVALID_ARGUMENT });
});

test("each metric has a descriptor, and a value for each of its sorted labels", async () => {
  await using served = await serveForTest(fakeEngine());
  const { descriptors } = await served.client.ListMetricDescriptors({});
  const keys = new Map(descriptors.map(({ name, label_keys: labels }) => [name, labels]));
  assert.equal(keys.size, descriptors.length);
  for (const { help, label_keys: labels } of descriptors) {
    assert.notEqual(help, "");
    assert.deepEqual(labels, labels.toSorted());
    assert.equal(new Set(labels).size, labels.length);
    // A kubelet adds these, and cannot where they are.
    for (const key of ["container", "namespace", "pod"]) assert.ok(!labels.includes(key));
  }
  const [pod] = (await served.client.ListPodSandboxMetrics({})).pod_metrics;
  const metrics = [...(pod?.metrics ?? []), ...(pod?.container_metrics[0]?.metrics ?? [])];
  for (const { name, label_values: values } of metrics)
    assert.equal(values.length, keys.get(name)?.length, name);
  const absent = new Set(keys.keys());
  for (const { name } of metrics) absent.delete(name);
  assert.deepEqual(
    [...absent],
    [
      "container_hugetlb_max_usage_bytes",
      "container_pressure_cpu_stalled_seconds_total",
      "container_pressure_memory_waiting_seconds_total",
      "container_pressure_memory_stalled_seconds_total",
    ],
    "what the sample does not have",
  );
});

test("the wire format of metrics is that of the definition", async () => {
  await using served = await serveForTest(fakeEngine());
  const { pod_metrics: pods } = await served.client.ListPodSandboxMetrics({});
  assert.equal(pods.length, 1);
  assert.equal(pods[0]?.pod_sandbox_id, samplePodSandbox.id);
  assert.equal(pods[0]?.container_metrics[0]?.container_id, sampleContainer.id);
  const find = (list: readonly { name: string }[] | undefined, name: string) =>
    list?.filter((metric) => metric.name === name);
  assert.deepEqual(find(pods[0]?.metrics, "container_network_receive_bytes_total"), [
    {
      name: "container_network_receive_bytes_total",
      timestamp: "0",
      metric_type: "COUNTER",
      label_values: ["/kubepods/pod1", "", "eth0", samplePodSandbox.id],
      value: { value: String(2 ** 40) },
    },
  ]);
  const common = ["/kubepods/pod1/c1", "busybox:latest", sampleContainer.id];
  const of = (name: string) => find(pods[0]?.container_metrics[0]?.metrics, name);
  assert.deepEqual(of("container_memory_max_usage_bytes"), [
    {
      name: "container_memory_max_usage_bytes",
      timestamp: "0",
      metric_type: "GAUGE",
      label_values: common,
      value: { value: String(2 ** 45) },
    },
  ]);
  assert.deepEqual(of("container_fs_usage_bytes"), [
    {
      name: "container_fs_usage_bytes",
      timestamp: "1763700003123456000",
      metric_type: "GAUGE",
      label_values: ["/dev/sdb", ...common],
      value: { value: "4096" },
    },
  ]);
  const values = (name: string) =>
    of(name)?.map((metric) => [
      (metric as { label_values?: string[] }).label_values?.filter((value) => !common.includes(value)),
      (metric as { value?: { value: string } }).value?.value,
    ]);
  assert.deepEqual(values("container_cpu_usage_seconds_total"), [[["total"], "9007199"]]);
  assert.deepEqual(values("container_cpu_cfs_throttled_seconds_total"), [[[], "2"]]);
  assert.deepEqual(values("container_oom_events_total"), [[[], "0"]]);
  assert.deepEqual(values("container_blkio_device_usage_total"), [
    [["/dev/sda1", "8", "1", "Read"], "4096"],
    [["/dev/sda1", "8", "1", "Write"], "512"],
  ]);
  assert.deepEqual(values("container_memory_failures_total"), [
    [["pgfault", "container"], "7"],
    [["pgmajfault", "container"], "8"],
    [["pgfault", "hierarchy"], "7"],
    [["pgmajfault", "hierarchy"], "0"],
  ]);
});
