import assert from "node:assert/strict";
import { test } from "node:test";
import { stringifyExactJson } from "../exact-json.ts";
import { statsOfV1 } from "./event-stats-v1.ts";
import { statsOfV2 } from "./event-stats-v2.ts";

const json = (value: unknown): unknown => JSON.parse(stringifyExactJson(value));

test("v2: swap with memory, devices in two lists, no limit as 2^64-1", () => {
  const files: Record<string, string> = {
    "cpu.stat": "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 7\nnr_throttled 1\nthrottled_usec 9\n",
    "cpu.pressure":
      "some avg10=0.50 avg60=0.10 avg300=0.00 total=12\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=3\n",
    "memory.current": "1000\n",
    "memory.peak": "2000\n",
    "memory.max": "4000\n",
    "memory.stat": "anon 10\nfile 20\n",
    "memory.events": "low 0\nhigh 0\nmax 6\noom 2\noom_kill 1\n",
    "memory.swap.current": "50\n",
    "memory.swap.max": "max\n",
    "pids.current": "3\n",
    "pids.max": "max\n",
    "io.stat": "8:0 rbytes=100 wbytes=0 rios=4 wios=0 dbytes=0 dios=0\n254:1 \n",
    "hugetlb.2MB.current": "0\n",
    "hugetlb.2MB.events": "max 5\n",
  };
  const stats = statsOfV2((_controller, name) => files[name], ["2MB", "1GB"]);
  assert.match(stringifyExactJson(stats), /"swap":\{"limit":18446744073709551615,"usage":1050,"failcnt":0\}/);
  const { cpu, memory, pids, blkio, hugetlb } = json(stats) as Record<string, Record<string, unknown>>;
  assert.deepEqual(cpu, {
    usage: { total: 5000, kernel: 2000, user: 3000 },
    throttling: { periods: 7, throttledPeriods: 1, throttledTime: 9000 },
    psi: {
      some: { avg10: 0.5, avg60: 0.1, avg300: 0, total: 12 },
      full: { avg10: 0, avg60: 0, avg300: 0, total: 3 },
    },
  });
  assert.deepEqual(memory?.["usage"], { limit: 4000, usage: 1000, max: 2000, failcnt: 6 });
  assert.deepEqual([memory?.["cache"], memory?.["raw"]], [20, { anon: 10, file: 20 }]);
  assert.deepEqual(pids, { current: 3 });
  assert.deepEqual(blkio, {
    ioServiceBytesRecursive: [
      { major: 8, op: "Read", value: 100 },
      { major: 8, op: "Write" },
    ],
    ioServicedRecursive: [
      { major: 8, op: "Read", value: 4 },
      { major: 8, op: "Write" },
    ],
  });
  assert.deepEqual(hugetlb, { "2MB": { failcnt: 5 } });
});

test("v1: every controller's own files", () => {
  const files: Record<string, string> = {
    "cpuacct.usage": "700\n",
    "cpuacct.usage_percpu": "300 400 \n",
    "cpuacct.usage_all": "cpu user system\n0 100 200\n1 0 400\n",
    "cpuacct.stat": "user 3\nsystem 2\n",
    "cpuset.cpus": "0-2,5\n",
    "cpuset.sched_relax_domain_level": "-1\n",
    "memory.limit_in_bytes": "9223372036854771712\n",
    "memory.usage_in_bytes": "10\n",
    "memory.stat": "cache 4\nrss 6\n",
    "pids.max": "40\n",
    "blkio.throttle.io_service_bytes_recursive": "8:0 Read 4096\n8:0 Total 4096\nTotal 4096\n",
    "hugetlb.2MB.usage_in_bytes": "0\n",
    "hugetlb.2MB.failcnt": "1\n",
  };
  const stats = statsOfV1((_controller, name) => files[name], ["2MB"]);
  assert.match(stringifyExactJson(stats), /"limit":9223372036854771712,"usage":10,/);
  const { cpu, cpuset, memory, pids, blkio, hugetlb } = json(stats) as Record<
    string,
    Record<string, unknown>
  >;
  assert.deepEqual(cpu?.["usage"], {
    total: 700,
    percpu: [300, 400],
    percpu_kernel: [200, 400],
    percpu_user: [100, 0],
    kernel: 20_000_000,
    user: 30_000_000,
  });
  assert.deepEqual([cpuset?.["cpus"], cpuset?.["sched_relax_domain_level"]], [[0, 1, 2, 5], -1]);
  assert.deepEqual([memory?.["cache"], memory?.["raw"]], [4, { cache: 4, rss: 6 }]);
  assert.deepEqual(pids, { limit: 40 });
  assert.deepEqual(blkio, {
    ioServiceBytesRecursive: [
      { major: 8, op: "Read", value: 4096 },
      { major: 8, op: "Total", value: 4096 },
    ],
  });
  assert.deepEqual(hugetlb, { "2MB": { failcnt: 1 } });
});
