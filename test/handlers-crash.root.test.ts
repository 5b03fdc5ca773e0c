/**
 * The daemon dies at every point on the way of a container that Debian's runc runs. What a call has answered holds
 * afterwards, a repeated call gives the same, and nothing is left: no container in the runtime, no bundle, no mount.
 */
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { after, before, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { FAILPOINTS, type Failpoint } from "../src/base/failpoint.ts";
import { debianPrograms, handlerSettings } from "./harness/external-runtimes.ts";
import { assertHoldings, holdings } from "./harness/holdings.ts";
import { Keeper } from "./harness/keeper.ts";
import { type Caller, podLife } from "./harness/pod-life.ts";
import { BUSYBOX, makeSetting, type Setting } from "./harness/setting.ts";

/** No call takes near as long; one that hangs fails by it. */
const CALL_TIMEOUT_MS = 30_000;
/** Those that a container passes; hooks are the runtime's here, and so is the control group. */
const POINTS = FAILPOINTS.filter((name) =>
  /^(?:external:|shim-start:|container-(?:start|update|exit):(?!bundle|hooks))/.test(name),
);

let setting: Setting;
let keeper: Keeper;
let call: Caller;
let idle: string[] = [];
const arm = (name: Failpoint | ""): Promise<void> => writeFile(setting.daemon.path("failpoint"), name);

before(async () => {
  const program = (await debianPrograms()).get("runc") ?? "";
  setting = await makeSetting({ failpoints: true, configuration: handlerSettings("runc", program) });
  await mkdir(setting.daemon.path("logs"));
  keeper = new Keeper(setting.daemon);
  keeper.whenDead = () => arm("");
  call = (work) => keeper.call((client) => work(client, { timeoutMs: CALL_TIMEOUT_MS }));
  await call((cri, limit) => cri.PullImage({ image: { image: BUSYBOX } }, limit));
  idle = await holdings(setting.daemon);
});
/** After a failed test, for the next one. */
beforeEach(async () => {
  await arm("");
  const { items } = await call((cri, limit) => cri.ListPodSandbox({}, limit));
  for (const { id } of items) await call((cri, limit) => cri.RemovePodSandbox({ pod_sandbox_id: id }, limit));
});
after(async () => {
  keeper?.close();
  await setting?.finish();
});

for (const point of POINTS) {
  test(`the daemon dies after ${point}`, async () => {
    const deaths = keeper.deaths;
    await arm(point);
    await podLife(call, {
      name: point.replace(":", "-"),
      logDirectory: setting.daemon.path("logs"),
      runtimeHandler: "runc",
    });
    // What happens beside the calls may be what it dies of.
    for (let round = 0; round < 10; round++) {
      await call((cri, limit) => cri.Version({ version: "" }, limit));
      await sleep(10);
    }
    await assertHoldings(setting.daemon, idle);
    assert.equal(keeper.deaths - deaths, 1, `${point} was passed`);
  });
}
