/** Limits of containers in the real kernel: as created, as updated, and as they were after an update that fails. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { status as code } from "@grpc/grpc-js";
import { makeSetting, type Setting } from "./harness/setting.ts";
import { type TestPod, Workload } from "./harness/workload.ts";

const ROOT = "/sys/fs/cgroup";
const MiB = 1 << 20;
const v2 = existsSync(join(ROOT, "cgroup.controllers"));
const onV1 = v2 ? "this host has cgroup v2" : false;
const hugetlb = [`${ROOT}/unified`, ROOT].find(
  (root) =>
    existsSync(join(root, "cgroup.controllers")) &&
    readFileSync(join(root, "cgroup.controllers"), "utf8").includes("hugetlb"),
);

let setting: Setting;
let work: Workload;
let pod: TestPod;

before(async () => {
  setting = await makeSetting({ network: "none" });
  work = await Workload.begin(setting);
  pod = await work.pod("resources", { linux: { security_context: { namespace_options: { pid: 1 } } } });
});
after(async () => {
  work?.end();
  await setting?.finish();
});

let count = 0;
const create = (resources?: object, command?: string[]): Promise<string> =>
  work.create(pod, `r${++count}`, command ?? ["sleep", "1000"], resources && { linux: { resources } });
const start = (id: string): Promise<unknown> => work.client.StartContainer({ container_id: id });
const update = (id: string, linux: object): Promise<unknown> =>
  work.client.UpdateContainerResources({ container_id: id, linux });

async function facts(id: string): Promise<{ pid: number; cgroupPath: string }> {
  const { info } = await work.client.ContainerStatus({ container_id: id, verbose: true });
  return JSON.parse(info["info"] ?? "") as Awaited<ReturnType<typeof facts>>;
}

/** What the kernel has for v1's names, or the fields of the status. */
async function limit(id: string, file: string): Promise<string> {
  const { cgroupPath } = await facts(id);
  const controller = v2 ? "" : file.split(".")[0];
  return readFileSync(join(ROOT, controller ?? "", cgroupPath, file), "utf8").trim();
}
const score = async (id: string): Promise<number> =>
  Number(readFileSync(`/proc/${(await facts(id)).pid}/oom_score_adj`, "utf8"));
async function recorded(id: string): Promise<Record<string, unknown>> {
  const { status } = await work.client.ContainerStatus({ container_id: id });
  return { ...status?.resources?.linux };
}
const V1_FILES = [
  "cpu.shares",
  "cpu.cfs_quota_us",
  "cpu.cfs_period_us",
  "cpuset.cpus",
  "memory.limit_in_bytes",
  "memory.memsw.limit_in_bytes",
];
const all = (id: string): Promise<string[]> => Promise.all(V1_FILES.map((file) => limit(id, file)));

test(
  "a running container has its new limits at once, and keeps them over a daemon's death",
  { skip: onV1 },
  async () => {
    const id = await create({ memory_limit_in_bytes: 32 * MiB, cpu_shares: 100, oom_score_adj: 300 });
    await start(id);
    await update(id, {
      cpu_shares: 200,
      cpu_quota: 30_000,
      cpu_period: 60_000,
      cpuset_cpus: "0",
      memory_limit_in_bytes: 64 * MiB,
      oom_score_adj: 400,
    });
    const expected = ["200", "30000", "60000", "0", String(64 * MiB), String(64 * MiB)];
    assert.deepEqual(await all(id), expected);
    assert.equal(await score(id), 400);
    await setting.daemon.kill();
    await setting.daemon.run();
    assert.deepEqual(await all(id), expected);
    const { cpu_shares, cpu_quota, memory_limit_in_bytes, cpuset_cpus, oom_score_adj } = await recorded(id);
    assert.deepEqual(
      [cpu_shares, cpu_quota, memory_limit_in_bytes, cpuset_cpus, oom_score_adj],
      ["200", "30000", String(64 * MiB), "0", "400"],
    );
    await update(id, { memory_limit_in_bytes: 16 * MiB, memory_swap_limit_in_bytes: 24 * MiB });
    await update(id, { memory_limit_in_bytes: 48 * MiB });
    assert.deepEqual((await all(id)).slice(4), [String(48 * MiB), String(56 * MiB)], "swap beside it stays");
  },
);

test("crictl update", { skip: onV1 }, async () => {
  const id = await create({ memory_limit_in_bytes: 32 * MiB, memory_swap_limit_in_bytes: 32 * MiB });
  await start(id);
  await setting.crictl.run(
    "update",
    "--memory",
    String(48 * MiB),
    "--cpu-quota",
    "20000",
    "--cpuset-cpus",
    "0",
    id,
  );
  assert.deepEqual((await all(id)).slice(1), ["20000", "100000", "0", String(48 * MiB), String(48 * MiB)]);
});

test("a created container starts with what it was updated to", { skip: onV1 }, async () => {
  const id = await create({ memory_limit_in_bytes: 32 * MiB });
  await update(id, { memory_limit_in_bytes: 40 * MiB, cpu_shares: 77, oom_score_adj: 55 });
  assert.equal((await recorded(id))["memory_limit_in_bytes"], String(40 * MiB));
  await start(id);
  assert.equal(await limit(id, "memory.limit_in_bytes"), String(40 * MiB));
  assert.equal(await limit(id, "cpu.shares"), "77");
  assert.equal(await score(id), 55);
});

test("an update that is refused in a part changes nothing", { skip: onV1 }, async () => {
  const id = await create({ memory_limit_in_bytes: 64 * MiB, cpu_shares: 100, oom_score_adj: 300 }, [
    "sh",
    "-c",
    "mkdir /m && head -c 20000000 /dev/zero > /dev/shm/file; sleep 1000",
  ]);
  await start(id);
  for (let used = 0; used < 20_000_000;) used = Number(await limit(id, "memory.usage_in_bytes"));
  const before = await all(id);
  const status = await recorded(id);
  const change = { cpu_shares: 500, cpu_quota: 10_000, oom_score_adj: 500 };
  const raised = { ...change, memory_limit_in_bytes: 128 * MiB };
  const lowered = { ...change, memory_limit_in_bytes: 8 * MiB };
  for (const [refused, kind, words] of [
    [lowered, code.FAILED_PRECONDITION, /memory.limit_in_bytes: \d+ bytes are in use/],
    [{ ...raised, cpuset_cpus: "4000" }, code.INVALID_ARGUMENT, /cpuset.cpus/],
    [{ ...raised, memory_swap_limit_in_bytes: 1 * MiB }, code.INVALID_ARGUMENT, /below that of memory/],
    [{ ...raised, unified: { "memory.high": "1" } }, code.FAILED_PRECONDITION, /need cgroup v2/],
    [{ ...raised, cpu_period: 1 }, code.INVALID_ARGUMENT, /cpu.cfs_period_us/],
    [{ ...raised, hugepage_limits: [{ page_size: "3MB", limit: 1 }] }, code.FAILED_PRECONDITION, /3MB/],
  ] as const) {
    await assert.rejects(update(id, refused), (error: Error & { code: number; details: string }) => {
      assert.equal(error.code, kind, error.message);
      assert.match(error.details, words);
      return true;
    });
    assert.deepEqual(await all(id), before, JSON.stringify(refused));
    assert.deepEqual(await recorded(id), status);
    assert.equal(await score(id), 300);
  }
});

test("what is cached of files does not keep a limit from being lowered", { skip: onV1 }, async () => {
  const id = await create({ memory_limit_in_bytes: 64 * MiB }, [
    "sh",
    "-c",
    "head -c 40000000 /dev/zero > /file; sync; sleep 1000",
  ]);
  await start(id);
  for (let used = 0; used < 40_000_000;) used = Number(await limit(id, "memory.usage_in_bytes"));
  await update(id, { memory_limit_in_bytes: 16 * MiB });
  assert.equal(await limit(id, "memory.limit_in_bytes"), String(16 * MiB));
});

test("updates at once with each other, with the end and with the removal of the container", async () => {
  const settled = async (id: string, ends: () => Promise<unknown>): Promise<number[]> => {
    const updates = Array.from({ length: 12 }, (_, n) =>
      update(id, { cpu_shares: 100 + n, memory_limit_in_bytes: (32 + n) * MiB }),
    );
    const end = ends();
    const more = Array.from({ length: 12 }, (_, n) => update(id, { cpu_shares: 200 + n }));
    const outcomes = await Promise.allSettled([...updates, ...more]);
    await end;
    return outcomes.flatMap((outcome) =>
      outcome.status === "rejected" ? [(outcome.reason as { code: number }).code] : [],
    );
  };
  const allowed = (codes: number[], ...expected: number[]): void =>
    assert.ok(
      codes.every((each) => expected.includes(each)),
      codes.join(),
    );
  const kept = await create();
  const started = await settled(kept, () => start(kept));
  assert.deepEqual(started, []);
  assert.deepEqual((await recorded(kept))["cpu_shares"], "211");
  if (!v2) assert.equal(await limit(kept, "cpu.shares"), "211");
  const stopped = await settled(kept, () => work.client.StopContainer({ container_id: kept, timeout: 0 }));
  allowed(stopped, code.FAILED_PRECONDITION);
  const gone = await create();
  await start(gone);
  const removed = await settled(gone, () => work.client.RemoveContainer({ container_id: gone }));
  allowed(removed, code.FAILED_PRECONDITION, code.NOT_FOUND);
});

test("who can be updated", async () => {
  await assert.rejects(update("nobody", { cpu_shares: 5 }), { code: code.NOT_FOUND });
  const id = await create(undefined, ["true"]);
  await start(id);
  await work.exited(id);
  await assert.rejects(update(id, { cpu_shares: 5 }), { code: code.FAILED_PRECONDITION });
  await assert.rejects(work.client.UpdateContainerResources({ container_id: id }), {
    code: code.INVALID_ARGUMENT,
  });
});

test("the score of the container's own choice stays, those of its other processes change", async () => {
  const id = await create({ oom_score_adj: 100 }, [
    "sh",
    "-c",
    "sleep 1000 & (echo 700 > /proc/self/oom_score_adj; exec sleep 1000) & wait",
  ]);
  await start(id);
  const scores = (): Promise<string> => work.read(id, "cat /proc/[0-9]*/oom_score_adj | sort -n | uniq -c");
  while (!(await scores()).includes("700"));
  await update(id, { oom_score_adj: 250 });
  assert.match(await scores(), /250[^]* 1 700$/);
  assert.doesNotMatch(await scores(), / 100$/m);
  await update(id, { oom_score_adj: -997 });
  const own = Number(readFileSync("/proc/self/oom_score_adj", "utf8"));
  const mayLower =
    (BigInt(`0x${/CapEff:\s*(\w+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]}`) >> 24n) & 1n;
  const given = mayLower ? -997 : Math.max(-997, own);
  assert.equal(await score(id), given);
  assert.equal((await recorded(id))["oom_score_adj"], String(given));
});

const noHugePages = hugetlb === undefined && "this host has no hugetlb controller in a v2 hierarchy";
test(
  "huge pages are limited where the v2 hierarchy has their controller",
  { skip: noHugePages },
  async () => {
    const sizes = readdirSync("/sys/kernel/mm/hugepages");
    assert.ok(sizes.includes("hugepages-2048kB"));
    const page = (limit: number): object => ({ hugepage_limits: [{ page_size: "2MB", limit }] });
    const read = async (id: string, file: string): Promise<string> =>
      readFileSync(join(hugetlb as string, (await facts(id)).cgroupPath, file), "utf8").trim();
    const id = await create(page(4 * MiB));
    await start(id);
    assert.equal(await read(id, "hugetlb.2MB.max"), String(4 * MiB));
    assert.equal(await read(id, "hugetlb.2MB.rsvd.max"), String(4 * MiB));
    await update(id, page(0));
    assert.equal(await read(id, "hugetlb.2MB.max"), "0");
    const plain = await create();
    await start(plain);
    await update(plain, page(2 * MiB));
    assert.equal(await read(plain, "hugetlb.2MB.max"), String(2 * MiB));
    assert.deepEqual((await recorded(plain))["hugepage_limits"], [
      { page_size: "2MB", limit: String(2 * MiB) },
    ]);
  },
);

const notHybrid = !existsSync(`${ROOT}/unified`) && "this host is not hybrid";
test(
  "of a control group that the client has made nothing is left but the client's own",
  { skip: notHybrid },
  async () => {
    const parent = `gantry-test-client-${process.pid}`;
    const path = `/${parent}/pods/one`;
    const v1 = readdirSync(ROOT).filter((name) => name !== "unified");
    try {
      // As a kubelet does: in every v1 hierarchy.
      for (const name of v1) mkdirSync(join(ROOT, name, path), { recursive: true });
      writeFileSync(join(ROOT, "memory", path, "memory.limit_in_bytes"), String(128 * MiB));
      const own = await work.pod("own", { linux: { cgroup_parent: path } });
      const other = await work.pod("other", { linux: { cgroup_parent: `/${parent}/pods/two` } });
      for (const name of v1) mkdirSync(join(ROOT, name, parent, "pods/two"));
      const [one, two] = [await work.run(own, "one"), await work.run(other, "two")];
      assert.equal((await facts(one)).cgroupPath, `${path}/${one}`);
      await update(one, { memory_limit_in_bytes: 64 * MiB });
      await work.remove(own);
      assert.ok(!existsSync(join(ROOT, "unified", path)));
      assert.equal(
        readFileSync(join(ROOT, "memory", path, "memory.limit_in_bytes"), "utf8").trim(),
        String(128 * MiB),
      );
      assert.equal(await work.read(two, "echo lives"), "lives");
      await work.remove(other);
      assert.ok(!existsSync(join(ROOT, "unified", parent)));
      for (const name of v1) assert.deepEqual(directories(join(ROOT, name, path)), [], name);
    } finally {
      for (const name of [...v1, "unified"])
        for (const below of ["pods/one", "pods/two", "pods", ""])
          rmdirIfThere(join(ROOT, name, parent, below));
    }
  },
);

function directories(path: string): string[] {
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
}

function rmdirIfThere(path: string): void {
  if (existsSync(path)) rmdirSync(path);
}

test("a pod's resources show in its verbose status", async () => {
  const { id } = pod;
  await work.client.UpdatePodSandboxResources({
    pod_sandbox_id: id,
    overhead: { cpu_shares: 10 },
    resources: { memory_limit_in_bytes: 99 * MiB },
  });
  const { info } = await work.client.PodSandboxStatus({ pod_sandbox_id: id, verbose: true });
  const told = JSON.parse(info["info"] ?? "") as Record<"overhead" | "resources", Record<string, number>>;
  assert.deepEqual([told.overhead["cpuShares"], told.resources["memoryLimitBytes"]], [10, 99 * MiB]);
  await assert.rejects(work.client.UpdatePodSandboxResources({ pod_sandbox_id: "nobody" }), {
    code: code.NOT_FOUND,
  });
});
