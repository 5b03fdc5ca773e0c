/** After much work, and after many calls that were given up midway, the daemon holds what it held before. */
import assert from "node:assert/strict";
import { status as code } from "@grpc/grpc-js";
import { readdir, readFile, readlink } from "node:fs/promises";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type CriClient, criClient } from "../src/cri/client.ts";
import { assertHoldings, holdings } from "./harness/holdings.ts";
import { file, layerOf, pushImage } from "./harness/image-builder.ts";
import { containerConfig, makeSetting, podConfig, type Setting } from "./harness/setting.ts";
import { FOREVER, Workload } from "./harness/workload.ts";

const SMALL = "registry.k8s.io/small:1";
const HOST_NETWORK = {
  hostname: "",
  linux: { security_context: { namespace_options: { network: 2, pid: 1 } } },
};
const POD_NETWORK = { linux: { security_context: { namespace_options: { pid: 1 } } } };

let setting: Setting;
let work: Workload;
let idle: string[] = [];

before(async () => {
  setting = await makeSetting();
  const layers = ["one", "two"].map((name) => layerOf([file(name, name.repeat(1000))]));
  await pushImage(setting.registry.host, "small:1", layers, { Cmd: ["x"] });
  work = await Workload.begin(setting);
  idle = await holdings(setting.daemon);
});
after(async () => {
  work?.end();
  await setting?.finish();
});

interface Use {
  descriptors: number;
  threads: number;
  listening: number;
  residentKib: number;
}

async function use(): Promise<Use> {
  const proc = `/proc/${setting.daemon.pid}`;
  const [fds, threads, status] = await Promise.all([
    readdir(`${proc}/fd`),
    readdir(`${proc}/task`),
    readFile(`${proc}/status`, "utf8"),
  ]);
  const targets = await Promise.all(fds.map((fd) => readlink(`${proc}/fd/${fd}`).catch(() => "")));
  const unix = await readFile("/proc/net/unix", "utf8");
  // Flags 00010000: __SO_ACCEPTCON.
  const accepting = new Set(
    Array.from(unix.matchAll(/ 00010000 \d+ \d+ +(\d+)/g), ([, inode]) => `socket:[${inode}]`),
  );
  return {
    descriptors: fds.length,
    threads: threads.length,
    listening: targets.filter((target) => accepting.has(target)).length,
    residentKib: Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]),
  };
}

/** Descriptors and threads go a moment after the clients and jobs that had them; what stays has leaked. */
async function assertUse(before: Use): Promise<void> {
  let now = await use();
  const more = (): boolean => now.descriptors > before.descriptors || now.threads > before.threads;
  for (let attempt = 0; more() && attempt < 100; attempt++) {
    await sleep(50);
    now = await use();
  }
  for (const what of ["descriptors", "threads", "listening"] as const)
    assert.ok(now[what] <= before[what], `${what}: ${before[what]} before, ${now[what]} now`);
}

async function shortLife(cri: CriClient, name: string, options: object): Promise<void> {
  const config = podConfig(name, { log_directory: work.logDirectory, ...options });
  const { pod_sandbox_id } = await cri.RunPodSandbox({ config });
  const request = { pod_sandbox_id, config: containerConfig("c", ["sleep", "1000"]), sandbox_config: config };
  const { container_id } = await cri.CreateContainer(request);
  await cri.StartContainer({ container_id });
  await cri.StopContainer({ container_id, timeout: 0 });
  await cri.RemoveContainer({ container_id });
  await cri.StopPodSandbox({ pod_sandbox_id });
  await cri.RemovePodSandbox({ pod_sandbox_id });
}

/** Does the work so many times, some at once. */
async function times(count: number, atOnce: number, once: (n: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let n = next++; n < count; n = next++) await once(n);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

test("200 pods come and go, with each network, and nothing of them stays", async () => {
  const lives = (from: number, count: number): Promise<void> =>
    times(count, 8, (n) =>
      shortLife(work.client, `life-${from + n}`, n % 2 === 0 ? HOST_NETWORK : POD_NETWORK),
    );
  await lives(0, 40);
  await assertHoldings(setting.daemon, idle);
  const before = await use();
  const resident: number[] = [before.residentKib];
  for (let round = 1; round <= 4; round++) {
    await lives(round * 1000, 50);
    resident.push((await use()).residentKib);
  }
  console.log(
    `resident after each 50 pods: ${resident.map((kib) => `${(kib / 1024).toFixed(1)} MiB`).join(", ")}`,
  );
  await assertHoldings(setting.daemon, idle);
  await assertUse(before);
});

test("300 commands, 20 clients at once, connections that come and go", async () => {
  const pod = await work.pod("commands", POD_NETWORK);
  const id = await work.run(pod, "target");
  await times(40, 20, async () => void (await work.exec(id, "true")));
  const before = await use();
  const kept = await holdings(setting.daemon);
  await times(300, 10, async (n) => assert.equal((await work.exec(id, `exit ${n % 100}`)).exitCode, n % 100));
  await times(60, 20, async (n) => {
    const own = criClient(setting.daemon.endpoint);
    try {
      const { containers } = await own.ListContainers({ filter: { id } });
      assert.equal(containers.length, 1);
      if (n % 3 === 0) await shortLife(own, `client-${n}`, POD_NETWORK);
      const reply = await own.ExecSync({ container_id: id, cmd: ["echo", String(n)] });
      assert.equal(reply.stdout.toString(), `${n}\n`);
    } finally {
      own.close();
    }
  });
  await assertHoldings(setting.daemon, kept);
  await assertUse(before);
  console.log(
    `resident: ${before.residentKib >> 10} MiB before, ${(await use()).residentKib >> 10} MiB after`,
  );
  await work.remove(pod);
});

/** Deadlines around the time that a call takes: some calls are cut off in their beginning, some at their end. */
const DEADLINES_MS = [1, 1, 2, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 30];

/** Makes the call with a deadline. False where it was cut off; any other failure is one. */
async function inTime(
  call: (options: { timeoutMs: number }) => Promise<unknown>,
  timeoutMs: number,
): Promise<boolean> {
  try {
    await call({ timeoutMs });
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === code.DEADLINE_EXCEEDED) return false;
    throw error;
  }
}

async function cutOff(what: string, once: (timeoutMs: number, n: number) => Promise<boolean>): Promise<void> {
  let cut = 0;
  for (const [n, timeoutMs] of [...DEADLINES_MS, ...DEADLINES_MS].entries())
    if (!(await once(timeoutMs, n))) cut += 1;
  console.log(`${what}: ${cut} of ${2 * DEADLINES_MS.length} cut off`);
  assert.ok(cut > 0, `${what}: no call was cut off`);
}

test("RunPodSandbox that is cut off takes back what it made, or is repeated with success", async () => {
  const { client } = work;
  await cutOff("RunPodSandbox", async (timeoutMs, n) => {
    const config = podConfig(`cut-${n}`, { log_directory: work.logDirectory });
    const done = await inTime((options) => client.RunPodSandbox({ config }, options), timeoutMs);
    const { items } = await client.ListPodSandbox({ filter: { label_selector: { app: `cut-${n}` } } });
    // It may have been done when the client's deadline passed.
    if (done) assert.equal(items.length, 1);
    if (n % 2 === 0) {
      const { pod_sandbox_id } = await client.RunPodSandbox({ config });
      if (items[0]) assert.equal(pod_sandbox_id, items[0].id);
      await client.RemovePodSandbox({ pod_sandbox_id });
    } else if (items[0]) {
      await client.RemovePodSandbox({ pod_sandbox_id: items[0].id });
    }
    return done;
  });
  await assertHoldings(setting.daemon, idle);
});

test("what is cut off in the life of a container is repeated, and no process is lost", async () => {
  const { client } = work;
  const pod = await work.pod("container-cut", POD_NETWORK);
  // The pod's control group comes with its first container.
  await client.RemoveContainer({ container_id: await work.run(pod, "first") });
  const kept = await holdings(setting.daemon);
  const create = (name: string) => ({
    pod_sandbox_id: pod.id,
    config: containerConfig(name, FOREVER),
    sandbox_config: pod.config,
  });
  await cutOff("CreateContainer", async (timeoutMs, n) => {
    const done = await inTime((options) => client.CreateContainer(create(`create-${n}`), options), timeoutMs);
    if (n % 2 === 0) {
      await client.CreateContainer(create(`create-${n}`));
      const { containers } = await client.ListContainers({ filter: { pod_sandbox_id: pod.id } });
      assert.equal(containers.length, 1);
    }
    const { containers } = await client.ListContainers({ filter: { pod_sandbox_id: pod.id } });
    for (const { id } of containers) await client.RemoveContainer({ container_id: id });
    return done;
  });
  await assertHoldings(setting.daemon, kept);
  await cutOff("StartContainer", async (timeoutMs, n) => {
    const { container_id } = await client.CreateContainer(create(`start-${n}`));
    const done = await inTime((options) => client.StartContainer({ container_id }, options), timeoutMs);
    // With the same container: also when the first start has just come to its end.
    if (n % 2 === 0) await client.StartContainer({ container_id });
    const { state } = await work.status(container_id);
    if (done || n % 2 === 0) assert.equal(state, "CONTAINER_RUNNING");
    else assert.match(state, /^CONTAINER_(CREATED|RUNNING)$/);
    await client.RemoveContainer({ container_id });
    return done;
  });
  await assertHoldings(setting.daemon, kept);
  await cutOff("StopContainer and RemoveContainer", async (timeoutMs, n) => {
    const { container_id } = await client.CreateContainer(create(`stop-${n}`));
    await client.StartContainer({ container_id });
    const stopped = await inTime(
      (options) => client.StopContainer({ container_id, timeout: 1 }, options),
      timeoutMs,
    );
    const removed = await inTime((options) => client.RemoveContainer({ container_id }, options), timeoutMs);
    await client.StopContainer({ container_id, timeout: 1 });
    await client.RemoveContainer({ container_id });
    return stopped && removed;
  });
  await assertHoldings(setting.daemon, kept);
  await work.remove(pod);
  await assertHoldings(setting.daemon, idle);
});

test("commands that are cut off leave no process", async () => {
  const pod = await work.pod("exec-cut", POD_NETWORK);
  const id = await work.run(pod, "target");
  const kept = await holdings(setting.daemon);
  const request = { container_id: id, cmd: ["sh", "-c", "sleep 2000 & sleep 2001"] };
  await cutOff("ExecSync", (timeoutMs) =>
    inTime((options) => work.client.ExecSync(request, options), timeoutMs),
  );
  await assertHoldings(setting.daemon, kept);
  await work.remove(pod);
});

test("StopPodSandbox and RemovePodSandbox that are cut off are repeated with success", async () => {
  const { client } = work;
  await cutOff("StopPodSandbox and RemovePodSandbox", async (timeoutMs, n) => {
    const { id: pod_sandbox_id } = await work.pod(`stop-${n}`);
    await work.run({ id: pod_sandbox_id, config: podConfig(`stop-${n}`) }, "c");
    const stopped = await inTime((options) => client.StopPodSandbox({ pod_sandbox_id }, options), timeoutMs);
    const removed = await inTime(
      (options) => client.RemovePodSandbox({ pod_sandbox_id }, options),
      timeoutMs,
    );
    await client.StopPodSandbox({ pod_sandbox_id });
    await client.RemovePodSandbox({ pod_sandbox_id });
    return stopped && removed;
  });
  await assertHoldings(setting.daemon, idle);
});

test("PullImage and RemoveImage that are cut off are repeated with success", async () => {
  const { client } = work;
  const image = { image: SMALL };
  await cutOff("PullImage", async (timeoutMs) => {
    const done = await inTime((options) => client.PullImage({ image }, options), timeoutMs);
    await client.PullImage({ image });
    await inTime((options) => client.RemoveImage({ image }, options), timeoutMs);
    await client.RemoveImage({ image });
    return done;
  });
  await assertHoldings(setting.daemon, idle);
});
