/**
 * The daemon dies at every point of attaching and detaching a pod by CNI plugins, and while a plugin runs. Whatever
 * happened, once everything is removed no address, cached result, rule, device or namespace is left.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { after, before, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { FAILPOINTS } from "../src/base/failpoint.ts";
import { bridgeConf, writeConf } from "./harness/cni.ts";
import { assertHoldings, holdings } from "./harness/holdings.ts";
import { Keeper } from "./harness/keeper.ts";
import { type Caller, podLife } from "./harness/pod-life.ts";
import { BUSYBOX, makeSetting, podConfig, type Setting } from "./harness/setting.ts";

const CALL_TIMEOUT_MS = 30_000;

let setting: Setting;
let keeper: Keeper;
let call: Caller;
let idle: string[] = [];
const arm = (name: string): Promise<void> => writeFile(setting.daemon.path("failpoint"), name);

before(async () => {
  setting = await makeSetting({ failpoints: true, network: "cni" });
  const { daemon } = setting;
  await mkdir(daemon.path("logs"));
  keeper = new Keeper(daemon);
  keeper.whenDead = () => arm("");
  call = (work) => keeper.call((client) => work(client, { timeoutMs: CALL_TIMEOUT_MS }));
  await call((cri, limit) => cri.PullImage({ image: { image: BUSYBOX } }, limit));
  idle = await holdings(daemon);
});
beforeEach(async () => {
  await arm("");
  const { items } = await call((cri, limit) => cri.ListPodSandbox({}, limit));
  for (const { id } of items) await call((cri, limit) => cri.RemovePodSandbox({ pod_sandbox_id: id }, limit));
});
after(async () => {
  keeper?.close();
  await setting?.finish();
});

for (const point of FAILPOINTS.filter((name) => name.startsWith("cni-"))) {
  test(`the daemon dies after ${point}`, async () => {
    const deaths = keeper.deaths;
    await arm(point);
    await podLife(call, { name: point.replace(":", "-"), logDirectory: setting.daemon.path("logs") });
    await assertHoldings(setting.daemon, idle);
    assert.equal(keeper.deaths - deaths, 1, `${point} was passed`);
  });
}

test("the daemon dies while a plugin adds, and the plugin goes on without it", async () => {
  const { daemon } = setting;
  await mkdir(daemon.path("cni-bin"));
  const started = daemon.path("slow-started");
  const slow = `#!/bin/sh
input=$(cat)
if [ "$CNI_COMMAND" = ADD ]; then echo > ${started}; sleep 1.5; fi
echo "$input" | /usr/lib/cni/bridge
`;
  await writeFile(daemon.path("cni-bin/slow-bridge"), slow);
  await chmod(daemon.path("cni-bin/slow-bridge"), 0o755);
  const text = JSON.stringify(bridgeConf(daemon)).replace(`"type":"bridge"`, `"type":"slow-bridge"`);
  await writeConf(daemon, "05-slow.conflist", text);
  const inForce = async (): Promise<boolean> => {
    const { info } = await call((cri, limit) => cri.Status({ verbose: true }, limit));
    return info["cniconfig"]?.includes("slow-bridge") ?? false;
  };
  for (let n = 0; n < 3000 && !(await inForce()); n++) await sleep(10);
  const config = podConfig("orphan");
  const first = call((cri, limit) => cri.RunPodSandbox({ config }, limit));
  for (let n = 0; n < 3000 && (await readFile(started).catch(() => undefined)) === undefined; n++)
    await sleep(10);
  assert.ok(existsSync(started), "the plugin runs");
  await daemon.kill();
  // The keeper starts it again, and the call is repeated.
  const { pod_sandbox_id } = await first;
  const { status } = await call((cri, limit) => cri.PodSandboxStatus({ pod_sandbox_id }, limit));
  assert.match(status?.network?.ip ?? "", /^10\./);
  await call((cri, limit) => cri.RemovePodSandbox({ pod_sandbox_id }, limit));
  await assertHoldings(daemon, idle);
});
