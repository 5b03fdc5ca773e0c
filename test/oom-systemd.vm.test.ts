/**
 * Kills for want of memory in scopes, which systemd removes with their counters as soon as nothing runs in them: be the
 * shim as late as it may, the reason of the end is told.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { succeed, until } from "./harness/installed.ts";
import { makeSetting, type Setting } from "./harness/setting.ts";
import { type TestPod, Workload } from "./harness/workload.ts";

const MiB = 1 << 20;
const LIMIT = {
  linux: { resources: { memory_limit_in_bytes: 24 * MiB, memory_swap_limit_in_bytes: 24 * MiB } },
};

let setting: Setting;
let work: Workload;
let pod: TestPod;

before(async () => {
  setting = await makeSetting({ cgroupDriver: "systemd" });
  work = await Workload.begin(setting);
  pod = await work.pod("oom", {
    linux: { security_context: { namespace_options: { network: 2, pid: 1 } } },
    hostname: "",
  });
});
after(async () => {
  await work.remove(pod);
  work.end();
  // Nobody's pods are in it; a slice stays until it is stopped.
  await succeed("systemctl", "stop", setting.daemon.cgroupParent.slice(1));
  await setting.finish();
});

/** What the daemon knows of a running container's processes. */
async function processes(id: string): Promise<{ init: number; shim: number; group: string }> {
  const { info } = await work.client.ContainerStatus({ container_id: id, verbose: true });
  const { pid } = JSON.parse(info["info"] ?? "{}") as { pid: number };
  const parent = /^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  const group = /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, "utf8"))?.[1];
  assert.ok(parent !== undefined && group !== undefined);
  return { init: pid, shim: Number(parent), group: `/sys/fs/cgroup${group}` };
}

async function end(id: string): Promise<[number, string]> {
  const { exitCode, reason } = await work.exited(id);
  return [exitCode, reason];
}

test("a process that takes more than it may, again and again", async () => {
  for (let round = 0; round < 20; round++)
    assert.deepEqual(await end(await work.run(pod, `eats-${round}`, ["tail", "/dev/zero"], LIMIT)), [
      137,
      "OOMKilled",
    ]);
});

test("the group is gone before the shim gets to look", async () => {
  const script = "while ! test -e /go; do sleep 0.1; done; exec tail /dev/zero";
  for (const [what, reason] of [
    ["oom", "OOMKilled"],
    ["kill", "Error"],
  ] as const) {
    const id = await work.run(pod, `late-${what}`, ["sh", "-c", script], LIMIT);
    const { init, shim, group } = await processes(id);
    process.kill(shim, "SIGSTOP");
    try {
      if (what === "oom") writeFileSync(`/proc/${init}/root/go`, "");
      else process.kill(init, "SIGKILL");
      await until("the end of the group", () => Promise.resolve(!existsSync(group)));
    } finally {
      process.kill(shim, "SIGCONT");
    }
    assert.deepEqual(await end(id), [137, reason]);
  }
});
