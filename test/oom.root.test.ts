/** Containers in which the kernel kills for want of memory, and what is told as the reason of their end. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { makeSetting, type Setting } from "./harness/setting.ts";
import { type TestPod, Workload } from "./harness/workload.ts";

const MiB = 1 << 20;
const EAT = "tail /dev/zero";

let setting: Setting;
let work: Workload;
let pod: TestPod;

before(async () => {
  setting = await makeSetting({ network: "none" });
  work = await Workload.begin(setting);
  pod = await work.pod("oom", { linux: { security_context: { namespace_options: { pid: 1 } } } });
});
after(async () => {
  work?.end();
  await setting?.finish();
});

let count = 0;
async function hungry(...command: string[]): Promise<string> {
  const resources = { memory_limit_in_bytes: 24 * MiB, memory_swap_limit_in_bytes: 24 * MiB };
  return await work.run(pod, `oom-${++count}`, command, { linux: { resources } });
}
async function end(id: string): Promise<[number, string]> {
  const { exitCode, reason } = await work.exited(id);
  return [exitCode, reason];
}

test("the first process is killed", async () => {
  assert.deepEqual(await end(await hungry("tail", "/dev/zero")), [137, "OOMKilled"]);
});

test("a child is killed: the reason is how the first process takes it", async () => {
  const child = (then: string): Promise<string> => hungry("sh", "-c", `${EAT}; ${then}`);
  assert.deepEqual(await end(await child("exit $?")), [137, "OOMKilled"]);
  assert.deepEqual(await end(await child("exit 3")), [3, "OOMKilled"]);
  assert.deepEqual(await end(await child("exit 0")), [0, "Completed"]);
});

test("a child was killed, and later the container is stopped", async () => {
  const waiting = "touch /killed; while :; do sleep 0.05; done";
  const killed = async (id: string): Promise<void> => {
    while ((await work.exec(id, "test -e /killed")).exitCode !== 0);
  };
  const obeys = await hungry("sh", "-c", `trap 'exit 143' TERM; ${EAT}; ${waiting}`);
  const ignores = await hungry("sh", "-c", `${EAT}; ${waiting}`);
  await killed(obeys);
  await killed(ignores);
  await work.client.StopContainer({ container_id: obeys, timeout: 60 });
  await work.client.StopContainer({ container_id: ignores, timeout: 0 });
  assert.deepEqual(await end(obeys), [143, "Error"]);
  assert.deepEqual(await end(ignores), [137, "Error"]);
});

test("a process of an exec is killed, and the container goes on", async () => {
  const id = await hungry("sleep", "1000");
  assert.equal((await work.exec(id, `${EAT}; exit $?`)).exitCode, 137);
  assert.equal((await work.status(id)).state, "CONTAINER_RUNNING");
  await work.client.StopContainer({ container_id: id, timeout: 0 });
  assert.deepEqual(await end(id), [137, "Error"]);
});

test("it happens while no daemon runs, or under a later one", async () => {
  const mounts = [{ host_path: setting.daemon.directory, container_path: "/host" }];
  const resources = { memory_limit_in_bytes: 24 * MiB, memory_swap_limit_in_bytes: 24 * MiB };
  const waiting = (name: string): Promise<string> =>
    work.run(pod, name, ["sh", "-c", `while ! test -e /host/${name}; do sleep 0.05; done; exec ${EAT}`], {
      mounts,
      linux: { resources },
    });
  const [meanwhile, later] = [await waiting("meanwhile"), await waiting("later")];
  await setting.daemon.kill();
  await touch("meanwhile");
  await setting.daemon.run();
  assert.deepEqual(await end(meanwhile), [137, "OOMKilled"]);
  await touch("later");
  assert.deepEqual(await end(later), [137, "OOMKilled"]);
});

async function touch(name: string): Promise<void> {
  await writeFile(setting.daemon.path(name), "");
}
