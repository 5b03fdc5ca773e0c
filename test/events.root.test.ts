/** Events of real pods and containers, as crictl prints them and as a kubelet reads them. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after, before, test } from "node:test";
import { createInterface } from "node:readline";
import type { EventStream } from "../src/cri/client.ts";
import { criTools } from "./harness/cri-tools.ts";
import { makeSetting, type Setting } from "./harness/setting.ts";
import { FOREVER, Workload } from "./harness/workload.ts";

const MiB = 1 << 20;

let setting: Setting;
let work: Workload;

before(async () => {
  setting = await makeSetting({ network: "none" });
  work = await Workload.begin(setting);
});
after(async () => {
  work?.end();
  await setting?.finish();
});

/** What is heard up to the end of the pod: names, changes, and the pod's containers. */
async function untilDeleted(events: EventStream, ids: Record<string, string>): Promise<string[]> {
  const heard: string[] = [];
  let lastAt = 0n;
  for await (const event of events) {
    assert.ok(BigInt(event.created_at) > lastAt);
    lastAt = BigInt(event.created_at);
    const change = event.container_event_type.replace("CONTAINER_", "").replace("_EVENT", "").toLowerCase();
    const pod = event.pod_sandbox_status;
    assert.ok(pod?.metadata?.uid);
    const containers = event.containers_statuses.map(
      ({ state, exit_code, reason }) =>
        `${state.replace("CONTAINER_", "").toLowerCase()}${reason ? ` ${exit_code} ${reason}` : ""}`,
    );
    const name = ids[event.container_id] ?? "?";
    const state = pod.state === "SANDBOX_READY" ? "" : "not ready";
    heard.push([`${name} ${change}`, state, ...containers].filter(Boolean).join(", "));
    if (event.container_id === pod.id && change === "deleted") break;
  }
  return heard;
}

test("a pod whose container is stopped, and one that is removed with what runs in it", async () => {
  const events = await work.client.followEvents();
  const pod = await work.pod("events");
  // Ends well when it is stopped, once it is ready to.
  const ready = "trap 'exit 0' TERM; touch /ready; while :; do sleep 0.02; done";
  const first = await work.run(pod, "first", ["sh", "-c", ready]);
  await work.read(first, "until [ -e /ready ]; do sleep 0.02; done");
  await work.client.StopContainer({ container_id: first, timeout: 10 });
  const second = await work.run(pod, "second");
  await work.remove(pod);
  const heard = await untilDeleted(events, { [pod.id]: "pod", [first]: "first", [second]: "second" });
  const [firstGone, secondGone] = ["first deleted", "second deleted"].map((name) =>
    heard.find((line) => line.startsWith(name)),
  );
  assert.ok(firstGone && secondGone);
  assert.deepEqual(
    heard.filter((line) => line !== firstGone && line !== secondGone),
    [
      "pod created",
      "pod started",
      "first created, created",
      "first started, running",
      "first stopped, exited 0 Completed",
      "second created, exited 0 Completed, created",
      "second started, exited 0 Completed, running",
      "second stopped, not ready, exited 0 Completed, exited 137 Error",
      "pod stopped, not ready, exited 0 Completed, exited 137 Error",
      "pod deleted, not ready",
    ],
  );
});

test("a container that is killed for memory, one that cannot start, and the death of the pause process", async () => {
  const events = await work.client.followEvents();
  const pod = await work.pod("ends", { linux: { security_context: { namespace_options: { pid: 0 } } } });
  const resources = { memory_limit_in_bytes: 24 * MiB, memory_swap_limit_in_bytes: 24 * MiB };
  const hungry = await work.run(pod, "hungry", ["tail", "/dev/zero"], { linux: { resources } });
  await work.exited(hungry);
  const broken = await work.create(pod, "broken", ["/no/such/command"]);
  await assert.rejects(work.client.StartContainer({ container_id: broken }));
  const { info } = await work.client.PodSandboxStatus({ pod_sandbox_id: pod.id, verbose: true });
  process.kill((JSON.parse(info["info"] ?? "") as { pid: number }).pid, "SIGKILL");
  const ready = async (): Promise<boolean> =>
    (await work.client.PodSandboxStatus({ pod_sandbox_id: pod.id })).status?.state === "SANDBOX_READY";
  while (await ready());
  await work.remove(pod);
  const heard = await untilDeleted(events, { [pod.id]: "pod", [hungry]: "hungry", [broken]: "broken" });
  assert.deepEqual(heard.slice(4, 8), [
    "hungry stopped, exited 137 OOMKilled",
    "broken created, exited 137 OOMKilled, created",
    "broken stopped, exited 137 OOMKilled, exited 128 StartError",
    "pod stopped, not ready, exited 137 OOMKilled, exited 128 StartError",
  ]);
  assert.equal(heard.length, 11, heard.join("\n"));
});

test("after the daemon's death a client hears of what happens from then on", async () => {
  const before_ = await work.client.followEvents();
  const ended = assert.rejects(before_[Symbol.asyncIterator]().next());
  await setting.daemon.kill();
  await ended;
  await setting.daemon.run();
  const pod = await work.pod("survivor");
  const id = await work.run(pod, "runs", FOREVER);
  await setting.daemon.kill();
  await setting.daemon.run();
  const events = await work.client.followEvents();
  await work.remove(pod);
  assert.deepEqual(await untilDeleted(events, { [pod.id]: "pod", [id]: "runs" }), [
    "runs stopped, not ready, exited 137 Error",
    "pod stopped, not ready, exited 137 Error",
    "runs deleted, not ready",
    "pod deleted, not ready",
  ]);
});

test("crictl events, several at once, and a stop of the daemon that does not wait for them", async () => {
  const { crictl } = await criTools();
  const followers = [1, 2].map(() => {
    const child = spawn(crictl, ["-r", setting.daemon.endpoint, "events"], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    const heard: string[] = [];
    let text = "";
    createInterface(child.stdout).on("line", (line) => {
      text += line;
      try {
        const event = JSON.parse(text) as { containerId: string; containerEventType: string };
        heard.push(`${event.containerId} ${event.containerEventType}`);
        text = "";
      } catch {
        // The rest of the object is in the lines that come.
      }
    });
    return { child, heard };
  });
  // Until both listen, pods come and go.
  for (let n = 0; followers.some(({ heard }) => heard.length === 0); n++)
    await work.remove(await work.pod(`probe-${n}`));
  const pod = await work.pod("seen");
  await work.remove(pod);
  const last = `${pod.id} CONTAINER_DELETED_EVENT`;
  while (!followers.every(({ heard }) => heard.includes(last))) await work.client.Version({});
  for (const { heard } of followers)
    assert.deepEqual(
      heard.filter((line) => line.startsWith(pod.id)).map((line) => line.split(" ")[1]),
      ["CREATED", "STARTED", "STOPPED", "DELETED"].map((change) => `CONTAINER_${change}_EVENT`),
    );
  const ended = Promise.all(
    followers.map(({ child }) => new Promise((resolve) => child.once("exit", resolve))),
  );
  assert.equal(await setting.daemon.stop(), 0);
  await ended;
  await setting.daemon.run();
});
