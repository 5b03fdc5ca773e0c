/**
 * Starts that fail or are given up while systemd makes the scope, which it does beside the start of the shim: whatever
 * the moment, neither of them stays.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { after, before, test } from "node:test";
import { assertHoldings, holdings } from "./harness/holdings.ts";
import { succeed, until } from "./harness/installed.ts";
import { makeSetting, type Setting } from "./harness/setting.ts";
import { FOREVER, type TestPod, Workload } from "./harness/workload.ts";

const POD = { linux: { security_context: { namespace_options: { network: 2, pid: 1 } } }, hostname: "" };
/** Of calls that take some hundred milliseconds here. */
const DEADLINES_MS = [1, 10, 20, 40, 60, 80, 100, 130, 160, 200, 250, 300, 400, 500];

let setting: Setting;
let work: Workload;
let pod: TestPod;
let kept: string[];

before(async () => {
  setting = await makeSetting({ cgroupDriver: "systemd" });
  work = await Workload.begin(setting);
  pod = await work.pod("starts", POD);
  // The pod's control group comes with its first container.
  await work.client.RemoveContainer({ container_id: await work.run(pod, "first") });
  kept = await holdings(setting.daemon);
});
after(async () => {
  await work.remove(pod);
  work.end();
  // Nobody's pods are in it; a slice stays until it is stopped.
  await succeed("systemctl", "stop", setting.daemon.cgroupParent.slice(1));
  await setting.finish();
});

const scopeOf = (id: string): string => `gantry-${id}.scope`;
const loaded = async (unit: string): Promise<boolean> =>
  (await succeed("systemctl", "show", "-P", "LoadState", unit)) !== "not-found";
const shimOf = (id: string): boolean => existsSync(setting.daemon.path("state/shims", id));

test("a start that is given up leaves a container that can be started, and neither a shim nor a scope", async (t) => {
  const { client } = work;
  let [cut, undone] = [0, 0];
  for (const [n, timeoutMs] of DEADLINES_MS.entries()) {
    const container_id = await work.create(pod, `given-up-${n}`, FOREVER);
    const failure = await client
      .StartContainer({ container_id }, { timeoutMs })
      .catch((error: unknown) => error);
    if (failure instanceof Error) {
      assert.match(failure.message, /DEADLINE_EXCEEDED/);
      cut += 1;
    }
    let state = "";
    await until(`container of deadline ${timeoutMs} ms at rest`, async () => {
      ({ state } = await work.status(container_id));
      if (state === "CONTAINER_RUNNING") return true;
      return state === "CONTAINER_CREATED" && !shimOf(container_id) && !(await loaded(scopeOf(container_id)));
    });
    if (state === "CONTAINER_CREATED") undone += 1;
    await client.StartContainer({ container_id });
    assert.equal((await work.status(container_id)).state, "CONTAINER_RUNNING");
    assert.ok(await loaded(scopeOf(container_id)));
    await client.RemoveContainer({ container_id });
    assert.equal(await loaded(scopeOf(container_id)), false);
  }
  t.diagnostic(`${cut} of ${DEADLINES_MS.length} given up, ${undone} of them undone`);
  assert.ok(undone > 0, "no start was given up in time");
  await assertHoldings(setting.daemon, kept);
});

test("a scope of another's in the way: the start fails, its shim is gone, and the other's lives on", async () => {
  const { client } = work;
  const container_id = await work.create(pod, "in-the-way", FOREVER);
  const unit = scopeOf(container_id);
  const other = spawn("systemd-run", ["--scope", "--unit", unit, "sleep", "100000"], { stdio: "ignore" });
  try {
    await until("the other's scope", () => loaded(unit));
    await assert.rejects(client.StartContainer({ container_id }), /unit gantry-\w+\.scope exists/);
    const { state, reason } = await work.status(container_id);
    assert.deepEqual([state, reason], ["CONTAINER_EXITED", "StartError"]);
    assert.ok(!shimOf(container_id));
    assert.equal(await succeed("systemctl", "show", "-P", "ActiveState", unit), "active");
    assert.equal(other.exitCode, null);
    await client.RemoveContainer({ container_id });
  } finally {
    other.kill("SIGKILL");
  }
  await until("the end of the other's scope", async () => !(await loaded(unit)));
  await assertHoldings(setting.daemon, kept);
});

test("a command that is not there: no shim, no scope, no holder of one", async () => {
  const { client } = work;
  const container_id = await work.create(pod, "no-command", ["/no/such/command"]);
  await assert.rejects(client.StartContainer({ container_id }), /no such file/);
  assert.ok(!shimOf(container_id));
  await until("the end of the scope", async () => !(await loaded(scopeOf(container_id))));
  await client.RemoveContainer({ container_id });
  await assertHoldings(setting.daemon, kept);
});
