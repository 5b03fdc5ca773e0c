/** The daemon dies, a shim dies, and nothing of a container is lost. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { BUSYBOX, containerConfig, makeSetting, podConfig, type Setting } from "./harness/setting.ts";

let setting: Setting;
let pod = "";
let podFile = "";

before(async () => {
  setting = await makeSetting();
  const { crictl, daemon } = setting;
  await mkdir(daemon.path("logs"));
  await crictl.run("pull", BUSYBOX);
  podFile = await crictl.config(podConfig("survivor", { log_directory: daemon.path("logs") }));
  pod = await crictl.run("runp", podFile);
});
after(() => setting.finish());

interface Inspection {
  status: { state: string; exitCode: number; reason: string; startedAt: string; finishedAt: string };
  info: { pid: number };
}

async function start(name: string, script: string): Promise<string> {
  const { crictl } = setting;
  const file = await crictl.config(containerConfig(name, ["sh", "-c", script]));
  const id = await crictl.run("create", pod, file, podFile);
  await crictl.run("start", id);
  return id;
}

const inspect = (id: string): Promise<Inspection> => setting.crictl.json<Inspection>("inspect", id);

async function exited(id: string): Promise<Inspection> {
  for (let attempt = 0; attempt < 600; attempt++) {
    const found = await inspect(id);
    if (found.status.state === "CONTAINER_EXITED") return found;
    await sleep(50);
  }
  throw new Error(`container ${id} did not exit`);
}

test("containers run on through a SIGKILL of gantryd, and no log line is lost", async () => {
  const { crictl, daemon } = setting;
  const counter = await start(
    "counter",
    "i=0; while [ ! -e /enough ]; do echo line $i; i=$((i+1)); usleep 10000; done; echo $i lines; exit 5",
  );
  const dying = await start("dying", "sleep 1; exit 42");
  const before = await inspect(counter);
  const { pid } = (await inspect(dying)).info;
  await daemon.kill();
  while (existsSync(`/proc/${pid}`)) await sleep(20);
  await sleep(500);
  process.kill(before.info.pid, 0);
  const againAtMs = Date.now();
  await daemon.run();
  const found = await inspect(counter);
  assert.equal(found.status.state, "CONTAINER_RUNNING");
  assert.equal(found.info.pid, before.info.pid);
  assert.equal(found.status.startedAt, before.status.startedAt);
  assert.equal(await crictl.run("exec", "-s", counter, "echo", "still here"), "still here");

  const dead = await inspect(dying);
  assert.deepEqual(
    [dead.status.state, dead.status.exitCode, dead.status.reason],
    ["CONTAINER_EXITED", 42, "Error"],
  );
  const finishedAtMs = Date.parse(dead.status.finishedAt);
  assert.ok(finishedAtMs - Date.parse(dead.status.startedAt) >= 900, "it slept");
  assert.ok(
    finishedAtMs < againAtMs - 400,
    `the true time, not that of the restart: ${dead.status.finishedAt}`,
  );

  await crictl.run("exec", "-s", counter, "touch", "/enough");
  assert.equal((await exited(counter)).status.exitCode, 5);
  const log = await readFile(daemon.path("logs/counter.log"), "utf8");
  const lines = log.split("\n").filter((line) => line !== "");
  const told = lines.map((line) => line.replace(/^\S+ stdout F /, ""));
  const count = Number.parseInt(told.pop() ?? "", 10);
  assert.ok(count > 10, `${count} lines`);
  assert.deepEqual(
    told,
    Array.from({ length: count }, (_, n) => `line ${n}`),
  );
});

test("stop, exec and remove work on what an earlier daemon started", async () => {
  const { crictl, daemon } = setting;
  const id = await start("heir", "trap 'exit 9' TERM; while :; do sleep 0.05; done");
  await daemon.kill();
  await daemon.run();
  assert.equal(await crictl.run("exec", "-s", id, "sh", "-c", "echo $((6*7))"), "42");
  await crictl.run("stop", "--timeout", "10", id);
  assert.equal((await inspect(id)).status.exitCode, 9);
  await crictl.run("rm", id);
  assert.notEqual((await crictl.try("inspect", id)).code, 0);
});

test("a clean stop leaves containers running", async () => {
  const { daemon } = setting;
  const id = await start("stayer", "while :; do sleep 0.1; done");
  const { info } = await inspect(id);
  assert.equal(await daemon.stop(), 0);
  process.kill(info.pid, 0);
  await daemon.run();
  assert.equal((await inspect(id)).status.state, "CONTAINER_RUNNING");
  await setting.crictl.run("rm", "-f", id);
});

test("a killed shim's container is reported exited, its processes end and nothing hangs", async () => {
  const { crictl } = setting;
  const id = await start("orphan", "while :; do sleep 0.1; done");
  const { info } = await inspect(id);
  process.kill(await parentOf(info.pid), "SIGKILL");
  const dead = await exited(id);
  assert.equal(dead.status.exitCode, 255);
  await gone(info.pid);
  await crictl.run("stop", id);
  await crictl.run("rm", id);
});

test("a shim killed while gantryd is down is found out at its start", async () => {
  const { crictl, daemon } = setting;
  const id = await start("orphan-later", "while :; do sleep 0.1; done");
  const { info } = await inspect(id);
  const shim = await parentOf(info.pid);
  await daemon.kill();
  process.kill(shim, "SIGKILL");
  await daemon.run();
  assert.equal((await exited(id)).status.exitCode, 255);
  await gone(info.pid);
  await crictl.run("rm", id);
});

test("a shim that does not answer keeps nobody from starting, and is found again when it does", async () => {
  const { crictl, daemon } = setting;
  const [id, other] = [await start("sleeper", "sleep 1000"), await start("neighbour", "sleep 1000")];
  const shim = await parentOf((await inspect(id)).info.pid);
  await daemon.kill();
  process.kill(shim, "SIGSTOP");
  await daemon.run();
  assert.equal((await inspect(other)).status.state, "CONTAINER_RUNNING");
  assert.equal((await inspect(id)).status.state, "CONTAINER_UNKNOWN");
  process.kill(shim, "SIGCONT");
  for (let attempt = 0; (await inspect(id)).status.state !== "CONTAINER_RUNNING"; attempt++) {
    assert.ok(attempt < 200, "found again");
    await sleep(100);
  }
  assert.equal(await crictl.run("exec", "-s", id, "echo", "answers"), "answers");
  await crictl.run("rm", "-f", id, other);
});

test("a container whose shim is stuck can be stopped and removed", async () => {
  const { crictl, daemon } = setting;
  const id = await start("stuck", "sleep 1000");
  const { info } = await inspect(id);
  process.kill(await parentOf(info.pid), "SIGSTOP");
  await crictl.run("stop", "--timeout", "1", id);
  const { status } = await inspect(id);
  assert.deepEqual([status.state, status.exitCode, status.reason], ["CONTAINER_EXITED", 255, "Unknown"]);
  await gone(info.pid);
  await crictl.run("rm", id);

  const unknown = await start("stuck-unknown", "sleep 1000");
  const { pid } = (await inspect(unknown)).info;
  await daemon.kill();
  process.kill(await parentOf(pid), "SIGSTOP");
  await daemon.run();
  await crictl.run("rm", "-f", unknown);
  await gone(pid);
});

async function parentOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
}

async function gone(pid: number): Promise<void> {
  for (let attempt = 0; attempt < 600; attempt++) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await sleep(50);
  }
  throw new Error(`process ${pid} is still there`);
}
