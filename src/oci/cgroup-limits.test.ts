import assert from "node:assert/strict";
import { test } from "node:test";
import { v1Writes } from "./cgroup-v1-resources.ts";
import { v2Writes } from "./cgroup-v2-resources.ts";
import type { Resources } from "./runtime-spec.ts";

const ALL = "cpu cpuset memory devices blkio pids hugetlb net_cls net_prio rdma".split(" ");
const v1 = (resources: Resources, has = ALL, files: Record<string, string> = {}): string[] =>
  v1Writes(resources, {
    directory: (controller) => (has.includes(controller) ? `/${controller}` : undefined),
    unifiedDirectory: () => undefined,
    read: (path) => files[path],
  }).map(({ directory, file, value }) => `${directory}/${file}=${value}`);
const v2 = (resources: Resources, files: Record<string, string> = {}): string[] =>
  v2Writes(resources, "/g", (path) => files[path]).map(({ file, value }) => `${file}=${value}`);
const refused = (message: RegExp) => ({ kind: "failed-precondition", message });

const disk = { major: 8, minor: 16 };
const blockIO = {
  weight: 100,
  weightDevice: [{ ...disk, weight: 200 }],
  throttleReadBpsDevice: [{ ...disk, rate: 1000 }],
  throttleWriteBpsDevice: [{ ...disk, rate: 0 }],
  throttleReadIOPSDevice: [{ ...disk, rate: 30 }],
  throttleWriteIOPSDevice: [{ major: 9, minor: 0, rate: 40 }],
};

test("limits of block devices, on both versions", () => {
  assert.deepEqual(v1({ blockIO: { ...blockIO, leafWeight: 50 } }), [
    "/blkio/blkio.weight=100",
    "/blkio/blkio.leaf_weight=50",
    "/blkio/blkio.weight_device=8:16 200",
    "/blkio/blkio.throttle.read_bps_device=8:16 1000",
    "/blkio/blkio.throttle.write_bps_device=8:16 0",
    "/blkio/blkio.throttle.read_iops_device=8:16 30",
    "/blkio/blkio.throttle.write_iops_device=9:0 40",
  ]);
  const bfq = v1({ blockIO: { weight: 100, weightDevice: blockIO.weightDevice } }, ALL, {
    "/blkio/blkio.bfq.weight": "100",
  });
  assert.deepEqual(bfq, ["/blkio/blkio.bfq.weight=100", "/blkio/blkio.bfq.weight_device=8:16 200"]);
  assert.throws(() => v1({ blockIO }, ["cpu"]), refused(/blkio controller, which this host lacks/));
  assert.deepEqual(v1({ blockIO: {} }, ["cpu"]), []);
  assert.deepEqual(v2({ blockIO }), [
    "io.weight=910",
    "io.weight=8:16 1920",
    "io.max=8:16 rbps=1000",
    "io.max=8:16 wbps=max",
    "io.max=8:16 riops=30",
    "io.max=9:0 wiops=40",
  ]);
  assert.deepEqual(
    v2({ blockIO: { weight: 100, weightDevice: blockIO.weightDevice } }, { "/g/io.bfq.weight": "" }),
    ["io.bfq.weight=100", "io.bfq.weight=8:16 200"],
  );
  assert.throws(() => v2({ blockIO: { leafWeight: 50 } }), refused(/leaf weights/));
  assert.throws(
    () => v2({ blockIO: { weightDevice: [{ ...disk, leafWeight: 5 }] } }),
    refused(/leaf weights/),
  );
});

test("limits of RDMA devices and of network traffic", () => {
  const rdma = { mlx5_1: { hcaHandles: 3, hcaObjects: 10_000 }, rxe3: { hcaObjects: 1 } };
  const lines = ["rdma.max=mlx5_1 hca_handle=3 hca_object=10000", "rdma.max=rxe3 hca_object=1"];
  assert.deepEqual(v2({ rdma }), lines);
  assert.deepEqual(
    v1({ rdma }),
    lines.map((line) => `/rdma/${line}`),
  );
  assert.throws(() => v1({ rdma }, []), refused(/rdma controller/));
  assert.throws(() => v2({ rdma: { "a b": {} } }), { kind: "invalid-argument" });
  const network = { classID: 1_048_577, priorities: [{ name: "eth0", priority: 5 }] };
  assert.deepEqual(v1({ network }), [
    "/net_cls/net_cls.classid=1048577",
    "/net_prio/net_prio.ifpriomap=eth0 5",
  ]);
  assert.throws(() => v1({ network }, ["net_cls"]), refused(/net_prio controller/));
  assert.throws(() => v1({ network: { priorities: [{ name: "a b", priority: 1 }] } }), {
    kind: "invalid-argument",
  });
  assert.throws(() => v2({ network }), refused(/network traffic/));
  assert.deepEqual(v2({ network: {} }), []);
});

test("what one version does not have is named; what no kernel has is left out", () => {
  assert.deepEqual(v1({ memory: { kernel: 4096, useHierarchy: true } }), []);
  assert.deepEqual(v2({ memory: { kernel: 4096, useHierarchy: false, checkBeforeUpdate: true } }), []);
  assert.throws(() => v2({ memory: { swappiness: 10 } }), refused(/swappiness/));
  assert.throws(() => v2({ memory: { kernelTCP: 4096 } }), refused(/TCP/));
  assert.throws(() => v2({ memory: { disableOOMKiller: true } }), refused(/OOM killer/));
  assert.throws(() => v2({ cpu: { realtimePeriod: 1000 } }), refused(/realtime/));
  assert.throws(() => v1({ unified: { "memory.high": "1" } }), refused(/need cgroup v2/));
});

test("a group that is idle has no weight of its own", () => {
  assert.deepEqual(v2({ cpu: { idle: 1, shares: 1024 } }), ["cpu.idle=1"]);
  assert.deepEqual(v2({ cpu: { idle: 0, shares: 1024 } }), ["cpu.idle=0", "cpu.weight=100"]);
  assert.deepEqual(v1({ cpu: { idle: 1, shares: 1024 } }), ["/cpu/cpu.idle=1"]);
  assert.deepEqual(v1({ cpu: { idle: 0, shares: 1024 } }), ["/cpu/cpu.idle=0", "/cpu/cpu.shares=1024"]);
});
