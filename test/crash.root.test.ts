/**
 * The daemon dies at every point between two durable steps, and at random moments under load. Whatever a call has
 * answered holds afterwards, a repeated call gives the same, and once everything is removed nothing is left.
 */
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { after, before, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { FAILPOINTS, type Failpoint } from "../src/base/failpoint.ts";
import { assertHoldings, holdings } from "./harness/holdings.ts";
import { file, layerOf, pushImage } from "./harness/image-builder.ts";
import { Keeper } from "./harness/keeper.ts";
import { patient } from "./harness/patience.ts";
import { type Caller, imageLife, podLife } from "./harness/pod-life.ts";
import { BUSYBOX, containerConfig, makeSetting, podConfig, type Setting } from "./harness/setting.ts";

const SMALL = "registry.k8s.io/small:1";
/** No call takes near as long; one that hangs fails by it. */
const CALL_TIMEOUT_MS = 30_000;

let setting: Setting;
let keeper: Keeper;
let call: Caller;
let idle: string[] = [];
const arm = (name: Failpoint | ""): Promise<void> => writeFile(setting.daemon.path("failpoint"), name);

before(async () => {
  setting = await makeSetting({ failpoints: true });
  const { daemon, registry } = setting;
  await mkdir(daemon.path("logs"));
  const layers = ["one", "two"].map((name) => layerOf([file(name, name.repeat(1000))]));
  await pushImage(registry.host, "small:1", layers, { Cmd: ["x"] });
  const hooks = ["createRuntime", "poststop"].map((hookName) => ({ hookName, path: "/bin/true" }));
  const devices = [{ name: "one", containerEdits: { hooks } }];
  await mkdir(daemon.path("cdi"));
  const cdi = { cdiVersion: "1.0.0", kind: "test.example/hooked", devices };
  await writeFile(daemon.path("cdi", "hooked.json"), JSON.stringify(cdi));
  keeper = new Keeper(daemon);
  keeper.whenDead = () => arm("");
  call = (work) => keeper.call((client) => work(client, { timeoutMs: CALL_TIMEOUT_MS }));
  await call((cri, limit) => cri.PullImage({ image: { image: BUSYBOX } }, limit));
  idle = await holdings(daemon);
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

/** What happens beside the calls may be what the daemon dies of, so it is called until it has come to rest. */
async function atRest(): Promise<void> {
  for (let round = 0; round < 10; round++) {
    await call((cri, limit) => cri.Version({ version: "" }, limit));
    await sleep(10);
  }
  await assertHoldings(setting.daemon, idle);
}

// Those of the CNI network stand in crash-cni.root.test.ts, those of external runtimes in handlers-crash.root.test.ts.
for (const point of FAILPOINTS.filter((name) => !/^(recovery:|cni-|external:)/.test(name))) {
  test(`the daemon dies after ${point}`, async () => {
    const deaths = keeper.deaths;
    await arm(point);
    if (/^(pull|content|image)/.test(point)) await imageLife(call, SMALL);
    else
      await podLife(call, {
        name: point.replace(":", "-"),
        logDirectory: setting.daemon.path("logs"),
        device: "test.example/hooked=one",
        userNamespace: point.startsWith("pod-"),
      });
    await atRest();
    assert.equal(keeper.deaths - deaths, 1, `${point} was passed`);
  });
}

for (const point of FAILPOINTS.filter((name) => name.startsWith("recovery:"))) {
  test(`the daemon dies in its recovery, after ${point}`, async () => {
    const { daemon } = setting;
    const config = podConfig("recovered", { log_directory: daemon.path("logs") });
    const { pod_sandbox_id } = await call((cri, limit) => cri.RunPodSandbox({ config }, limit));
    const ids: string[] = [];
    for (const [name, script] of [
      ["exits", "exit 9"],
      ["runs", "sleep 1000"],
      ["waits", "true"],
    ] as const) {
      const container = containerConfig(name, ["sh", "-c", script]);
      const request = { pod_sandbox_id, config: container, sandbox_config: config };
      ids.push((await call((cri, limit) => cri.CreateContainer(request, limit))).container_id);
    }
    for (const container_id of ids.slice(0, 2))
      await call((cri, limit) => cri.StartContainer({ container_id }, limit));
    await daemon.kill();
    await arm(point);
    await assert.rejects(daemon.run(), /gantryd ended with SIGKILL/);
    await arm("");
    const found = await call((cri, limit) => cri.ListContainers({}, limit));
    const states = new Map(found.containers.map(({ id, state }) => [id, state]));
    assert.deepEqual(
      ids.map((id) => states.get(id)),
      ["CONTAINER_EXITED", "CONTAINER_RUNNING", "CONTAINER_CREATED"],
    );
    await call((cri, limit) => cri.RemovePodSandbox({ pod_sandbox_id }, limit));
    await atRest();
  });
}

test("the daemon dies at random moments while several clients work", async () => {
  const { daemon } = setting;
  const seed = Number(process.env["CRASH_SEED"] ?? Date.now() % 1_000_000);
  const random = randomNumbers(seed);
  console.log(`CRASH_SEED=${seed}`);
  const deaths = keeper.deaths;
  let going = true;
  let lives = 0;
  const worker = async (name: string, kind: { plain?: boolean; userNamespace?: boolean }): Promise<void> => {
    for (let round = 0; going; round++, lives++)
      await podLife(call, { name: `${name}-${round}`, logDirectory: daemon.path("logs"), ...kind });
  };
  const puller = async (): Promise<void> => {
    while (going) await imageLife(call, SMALL);
  };
  const work = Promise.all([
    worker("a", {}),
    worker("b", { plain: true }),
    worker("c", { userNamespace: true }),
    puller(),
  ]);
  const failed = work.then(() => undefined);
  for (let kill = 0; kill < 8; kill++) {
    await Promise.race([sleep(100 + random() * 900), failed]);
    process.kill(daemon.pid, "SIGKILL");
    await daemon.endsWithin(patient(30_000));
    while (daemon.ended) await Promise.race([sleep(20), failed]);
    await call((cri, limit) => cri.Version({ version: "" }, limit));
  }
  going = false;
  await work;
  assert.equal(keeper.deaths - deaths, 8, "it died of nothing else");
  console.log(`${lives} pod lives`);
  await atRest();
});

/** mulberry32: numbers in [0, 1) that the seed determines. */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
