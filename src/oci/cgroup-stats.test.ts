/** The counters of groups, read from trees in a temporary directory that look like v1, v2 and hybrid hosts. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { createCgroupManager } from "./cgroup-manager.ts";
import { pressureOf } from "./cgroup-stat-text.ts";
import type { CgroupDetails } from "./cgroup.ts";

const base = mkdtempSync(join(tmpdir(), "gantry-cgroup-stats-"));
after(() => rmSync(base, { recursive: true }));

let trees = 0;
/** A manager on a tree of these files, "" in each group's cgroup.procs unless given. */
function managerOn(files: Record<string, string>) {
  const root = join(base, String(trees++));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return createCgroupManager({ root, attachDeviceFilter: () => undefined });
}

const PRESSURE = "some avg10=1.50 avg60=0.25 avg300=0.00 total=1234567\n";

async function detailsOf(files: Record<string, string>, path: string): Promise<Partial<CgroupDetails>> {
  const details = (await managerOn(files).readDetails([path])).at(0);
  assert.ok(details);
  const { timestampNs, ...rest } = details;
  assert.ok(timestampNs > 1_700_000_000_000_000_000n);
  return rest;
}

const V1_GROUP = {
  "memory/p/cgroup.procs": "12\n13\n",
  "memory/p/memory.usage_in_bytes": "10000\n",
  "memory/p/memory.stat":
    "cache 1\nrss 2\npgfault 5\npgmajfault 1\ntotal_cache 500\ntotal_rss 4000\ntotal_mapped_file 300\n" +
    "total_swap 512\ntotal_pgfault 12\ntotal_pgmajfault 2\ntotal_inactive_file 3000\ntotal_active_file 70\n",
  "memory/p/memory.limit_in_bytes": "20000\n",
  "memory/p/memory.memsw.limit_in_bytes": "25000\n",
  "memory/p/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
  "memory/p/memory.failcnt": "9\n",
  "memory/p/memory.max_usage_in_bytes": "15000\n",
  "memory/p/memory.kmem.usage_in_bytes": "800\n",
  "cpu,cpuacct/cgroup.procs": "",
  "cpu,cpuacct/p/cgroup.procs": "12\n13\n",
  "cpu,cpuacct/p/cpuacct.usage": "9007199254740993\n",
  "cpu,cpuacct/p/cpuacct.usage_user": "9000000000000000\n",
  "cpu,cpuacct/p/cpuacct.usage_sys": "7199254740993\n",
  "cpu,cpuacct/p/cpu.stat": "nr_periods 30\nnr_throttled 20\nthrottled_time 1500000000\n",
  "pids/cgroup.procs": "",
  "pids/p/pids.current": "4\n",
  "pids/p/pids.max": "100\n",
  "blkio/cgroup.procs": "",
  "blkio/p/cgroup.procs": "12\n13\n",
  "blkio/p/blkio.throttle.io_service_bytes_recursive":
    "254:0 Read 4096\n254:0 Write 8192\n254:0 Sync 12288\n254:0 Total 12288\n8:16 Read 1\nTotal 12289\n",
  "blkio/p/blkio.throttle.io_serviced_recursive": "254:0 Read 1\n254:0 Write 2\nTotal 3\n",
  "memory/cgroup.procs": "",
};

const V1_DETAILS = {
  cpuUsageNs: 9_007_199_254_740_993n,
  memoryUsageBytes: 10000,
  memoryWorkingSetBytes: 7000,
  memoryRssBytes: 4000,
  memoryPageFaults: 12,
  memoryMajorPageFaults: 2,
  memoryLimitBytes: 20000,
  swapUsageBytes: 512,
  swapLimitBytes: 5000,
  pids: 4,
  processes: 2,
  oomKills: 3,
  cpuUserNs: 9_000_000_000_000_000n,
  cpuSystemNs: 7_199_254_740_993n,
  cpuPeriods: 30,
  cpuThrottledPeriods: 20,
  cpuThrottledNs: 1_500_000_000n,
  memoryCacheBytes: 500,
  memoryMappedFileBytes: 300,
  memoryActiveFileBytes: 70,
  memoryInactiveFileBytes: 3000,
  memoryKernelBytes: 800,
  memoryPeakBytes: 15000,
  memoryLimitHits: 9,
  ownPageFaults: 5,
  ownMajorPageFaults: 1,
  pidsLimit: 100,
  io: [
    { major: 254, minor: 0, readBytes: 4096, writtenBytes: 8192, reads: 1, writes: 2 },
    { major: 8, minor: 16, readBytes: 1, writtenBytes: 0, reads: 0, writes: 0 },
  ],
  hugepages: [],
};

test("v1: every counter, and no pressure, as v1 keeps none", async () => {
  assert.deepEqual(await detailsOf(V1_GROUP, "/p"), V1_DETAILS);
});

test("hybrid: counters of v1, pressure of the same group in the v2 hierarchy", async () => {
  const hybrid = {
    ...V1_GROUP,
    "unified/cgroup.procs": "",
    "unified/cgroup.controllers": "",
    "unified/p/cgroup.procs": "12\n13\n",
    "unified/p/cpu.pressure": PRESSURE,
    "unified/p/io.pressure": `${PRESSURE}full avg10=0.00 avg60=0.10 avg300=2.00 total=7\n`,
  };
  const some = { totalUs: 1_234_567, avg10: 1.5, avg60: 0.25, avg300: 0 };
  assert.deepEqual(await detailsOf(hybrid, "/p"), {
    ...V1_DETAILS,
    cpuPressure: { some },
    ioPressure: { some, full: { totalUs: 7, avg10: 0, avg60: 0.1, avg300: 2 } },
  });
});

const V2_GROUP = {
  "cgroup.procs": "",
  "cgroup.controllers": "cpu io memory pids",
  "p/cgroup.procs": "7\n8\n9\n",
  "p/cpu.stat":
    "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 3\nnr_throttled 2\nthrottled_usec 1500000\n",
  "p/memory.current": "10000\n",
  "p/memory.max": "max\n",
  "p/memory.peak": "12000\n",
  "p/memory.stat":
    "anon 4000\nfile 5000\nkernel 700\nfile_mapped 60\ninactive_file 3000\nactive_file 40\npgfault 12\npgmajfault 2\n",
  "p/memory.events": "low 0\nhigh 0\nmax 6\noom 1\noom_kill 3\n",
  "p/memory.swap.current": "512\n",
  "p/memory.swap.max": "1000\n",
  "p/pids.current": "5\n",
  "p/pids.max": "max\n",
  "p/io.stat": "254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n8:0 \n",
  "p/memory.pressure": PRESSURE,
};

test("v2: every counter", async () => {
  assert.deepEqual(await detailsOf(V2_GROUP, "/p"), {
    cpuUsageNs: 1_500_000n,
    memoryUsageBytes: 10000,
    memoryWorkingSetBytes: 7000,
    memoryRssBytes: 4000,
    memoryPageFaults: 12,
    memoryMajorPageFaults: 2,
    swapUsageBytes: 512,
    swapLimitBytes: 1000,
    pids: 5,
    processes: 3,
    memoryPressure: { some: { totalUs: 1_234_567, avg10: 1.5, avg60: 0.25, avg300: 0 } },
    oomKills: 3,
    cpuUserNs: 1_000_000n,
    cpuSystemNs: 500_000n,
    cpuPeriods: 3,
    cpuThrottledPeriods: 2,
    cpuThrottledNs: 1_500_000_000n,
    memoryCacheBytes: 5000,
    memoryMappedFileBytes: 60,
    memoryActiveFileBytes: 40,
    memoryInactiveFileBytes: 3000,
    memoryKernelBytes: 700,
    memoryPeakBytes: 12000,
    memoryLimitHits: 6,
    ownPageFaults: 12,
    ownMajorPageFaults: 2,
    io: [
      { major: 254, minor: 0, readBytes: 4096, writtenBytes: 8192, reads: 1, writes: 2 },
      { major: 8, minor: 0, readBytes: 0, writtenBytes: 0, reads: 0, writes: 0 },
    ],
    hugepages: [],
  });
});

test("kernels without a sum of kernel memory have it added up", async () => {
  const old = {
    ...V2_GROUP,
    "p/memory.stat": "anon 1\nkernel_stack 100\npagetables 20\npercpu 3\nslab 4000\n",
  };
  assert.equal((await detailsOf(old, "/p")).memoryKernelBytes, 4123);
});

test("many groups at once: each its own, none for one that is gone, what is missing is nothing", async () => {
  const manager = managerOn({
    "cgroup.procs": "",
    "cgroup.controllers": "",
    "a/b/cgroup.procs": "1\n",
    "a/b/memory.current": "11",
    "c/cgroup.procs": "",
    "c/memory.current": "22",
    [`big/cgroup.procs`]: "12345\n".repeat(20_000),
  });
  const readings = await manager.readStats(["/a/b", "/gone", "/c", "/big", "/a/b"]);
  assert.deepEqual(
    [0, 1, 2, 3, 4].map((index) => readings.at(index)?.memoryUsageBytes),
    [11, undefined, 22, 0, 11],
  );
  assert.equal(readings.at(3)?.processes, 20_000);
  assert.equal(readings.processIds(3).length, 20_000);
  assert.deepEqual(readings.processIds(1), []);
  assert.equal(readings.at(2)?.cpuUsageNs, 0n);
  assert.equal((await manager.readStats([])).at(0), undefined);
});

test("a path that would lead out of the hierarchy is not read", () => {
  const manager = managerOn({ "cgroup.procs": "", "cgroup.controllers": "" });
  assert.throws(() => manager.readStats(["/a/../../etc"]), /without dots/);
});

test("pressure files of every form", () => {
  assert.equal(pressureOf(undefined), undefined);
  assert.equal(pressureOf(""), undefined);
  assert.deepEqual(pressureOf("some avg10=0.00 avg60=0.00 avg300=99.99 total=5"), {
    some: { totalUs: 5, avg10: 0, avg60: 0, avg300: 99.99 },
  });
});
