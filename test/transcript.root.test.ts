/** A whole life of a pod with the real crictl, the real registry and the real kernel, and nothing left after it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, mkdir } from "node:fs/promises";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { BUSYBOX, containerConfig, makeSetting, podConfig, type Setting } from "./harness/setting.ts";

let setting: Setting;
let pod = "";
let container = "";

before(async () => {
  setting = await makeSetting();
});
after(() => setting.finish());

const SCRIPT =
  'echo "hello from $(hostname)"; echo oops >&2; trap "echo bye; exit 7" TERM; while :; do sleep 0.1; done';

test("info and version", async () => {
  const { crictl } = setting;
  assert.match(await crictl.run("version"), /RuntimeName:\s+gantry/);
  const info = await crictl.json<{ status: { conditions: { type: string; status: boolean }[] } }>("info");
  const conditions = Object.fromEntries(info.status.conditions.map(({ type, status }) => [type, status]));
  assert.deepEqual(conditions, { RuntimeReady: true, NetworkReady: true });
});

test("pull and images", async () => {
  const { crictl } = setting;
  assert.match(await crictl.run("pull", BUSYBOX), /Image is up to date for sha256:[0-9a-f]{64}/);
  const { images } = await crictl.json<{ images: { id: string; repoTags: string[]; size: string }[] }>(
    "images",
    "-o",
    "json",
  );
  assert.deepEqual(
    images.map(({ repoTags }) => repoTags),
    [[BUSYBOX]],
  );
  assert.match(images[0]?.id ?? "", /^sha256:[0-9a-f]{64}$/);
  assert.ok(Number(images[0]?.size) > 100_000);
  const verbose = await crictl.json<{ status: { id: string }; info: object }>(
    "inspecti",
    "-o",
    "json",
    BUSYBOX,
  );
  assert.equal(verbose.status.id, images[0]?.id);
  assert.match(await crictl.run("imagefsinfo"), /usedBytes/);
});

test("runp, pods, inspectp", async () => {
  const { crictl, daemon } = setting;
  const logs = daemon.path("logs");
  await mkdir(logs);
  const config = await crictl.config(podConfig("web", { log_directory: logs }));
  pod = await crictl.run("runp", config);
  assert.match(pod, /^[0-9a-f]{64}$/);
  assert.equal(await crictl.run("runp", config), pod, "the same request again gives the same pod");
  const { items } = await crictl.json<{ items: { id: string; state: string; annotations: object }[] }>(
    "pods",
    "-o",
    "json",
  );
  assert.deepEqual(
    items.map(({ id, state }) => [id, state]),
    [[pod, "SANDBOX_READY"]],
  );
  assert.deepEqual(items[0]?.annotations, { "example.com/note": "kept as it is" });
  const status = await crictl.json<{ status: { network: { ip: string } }; info: object }>("inspectp", pod);
  assert.match(status.status.network.ip, /^10\.\d+\.\d+\.\d+$/);
});

test("create, ps, inspect", async () => {
  const { crictl } = setting;
  const podFile = await crictl.config(podConfig("web", { log_directory: setting.daemon.path("logs") }));
  const file = await crictl.config(containerConfig("main", ["sh", "-c", SCRIPT]));
  container = await crictl.run("create", pod, file, podFile);
  assert.match(container, /^[0-9a-f]{64}$/);
  const created = await crictl.json<{ status: { state: string } }>("inspect", container);
  assert.equal(created.status.state, "CONTAINER_CREATED");
  await crictl.run("start", container);
  const running = await crictl.json<{
    status: { state: string; imageId: string; user: object };
    info: { pid: number };
  }>("inspect", container);
  assert.equal(running.status.state, "CONTAINER_RUNNING");
  assert.ok(running.info.pid > 1);
  assert.match(await crictl.run("ps", "-q"), new RegExp(container));
});

test("logs are written in the CRI's format and read by crictl", async () => {
  const { crictl, daemon } = setting;
  await eventually(async () =>
    assert.equal(await crictl.run("logs", container).catch(() => ""), "hello from web"),
  );
  const log = (): Promise<string> => readFile(daemon.path("logs/main.log"), "utf8");
  await eventually(async () => assert.match(await log(), /oops\n/));
  const text = await log();
  assert.match(text, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z stdout F hello from web$/m);
  assert.match(text, /^\S+ stderr F oops$/m);
});

test("exec -s", async () => {
  const { crictl } = setting;
  assert.equal(
    await crictl.run("exec", "-s", container, "sh", "-c", "echo out; cat /etc/hostname"),
    "out\nweb",
  );
  const failed = await crictl.try("exec", "-s", container, "sh", "-c", "echo no >&2; exit 3");
  assert.notEqual(failed.code, 0);
  assert.match(failed.stderr, /3/);
});

test("exec, attach and port-forward with streams", async () => {
  const { crictl } = setting;
  const echoed = await crictl.tryWith("through\n", "exec", "-i", container, "cat");
  assert.deepEqual([echoed.code, echoed.stdout], [0, "through\n"], echoed.stderr);
  const failed = await crictl.try("exec", container, "sh", "-c", "echo no >&2; exit 3");
  assert.notEqual(failed.code, 0);
  assert.match(failed.stderr, /^no\n.*exit code 3/s);
  // Both go on until they are ended.
  for (const args of [
    ["attach", container],
    ["port-forward", pod, "0:80"],
  ]) {
    const child = spawn(...crictl.command(...args), { stdio: "ignore" });
    await sleep(200);
    assert.equal(child.exitCode, null, args.join(" "));
    child.kill("SIGKILL");
    await once(child, "exit");
  }
});

test("stats", async () => {
  const { crictl } = setting;
  const { stats } = await crictl.json<{
    stats: { attributes: { id: string }; memory: { workingSetBytes: { value: string } } }[];
  }>("stats", "-o", "json");
  assert.deepEqual(
    stats.map(({ attributes }) => attributes.id),
    [container],
  );
  assert.ok(Number(stats[0]?.memory.workingSetBytes.value) > 0);
});

test("stop sends the stop signal and keeps the true exit code", async () => {
  const { crictl } = setting;
  await crictl.run("stop", "--timeout", "10", container);
  const { status } = await crictl.json<{ status: { state: string; exitCode: number; reason: string } }>(
    "inspect",
    container,
  );
  assert.deepEqual([status.state, status.exitCode, status.reason], ["CONTAINER_EXITED", 7, "Error"]);
  assert.match(await readFile(setting.daemon.path("logs/main.log"), "utf8"), /stdout F bye\n$/);
  await crictl.run("stop", container);
});

test("rm, stopp, rmp, rmi", async () => {
  const { crictl } = setting;
  await crictl.run("rm", container);
  assert.equal(await crictl.run("ps", "-aq"), "");
  await crictl.run("stopp", pod);
  const { status } = await crictl.json<{ status: { state: string } }>("inspectp", pod);
  assert.equal(status.state, "SANDBOX_NOTREADY");
  await crictl.run("stopp", pod);
  await crictl.run("rmp", pod);
  assert.equal(await crictl.run("pods", "-q"), "");
  await crictl.run("rmi", BUSYBOX);
  assert.equal(await crictl.run("images", "-q"), "");
});

async function eventually(check: () => Promise<void>): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await check();
    } catch (error) {
      if (attempt >= 100) throw error;
      await sleep(50);
    }
  }
}
