/** Adjustments against what the engine takes: what is refused or bounded when the container is created. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { NO_RESOURCES } from "../engine/resources.ts";
import { containerConfig, podConfig } from "../engine/sample-config.ts";
import { named, never, NriSetting } from "./fake-nri-setting.ts";

let setting: NriSetting | undefined;

async function begin(): Promise<NriSetting> {
  return (setting = await NriSetting.begin());
}
afterEach(() => setting?.end());

test("a container's control group is in its pod's, and nobody else's", async () => {
  const nri = await begin();
  const { engine, parts } = nri;
  const plugin = await nri.join("10-groups");
  const [pod, other] = [await nri.pod("p"), await nri.pod("other")];
  const neighbour = await engine.createContainer(pod, containerConfig(named("neighbour")), never);
  const group = `/test/${pod}`;
  parts.foreignCgroups.add(`${group}/there`);
  const refused = ["/", "/kubelet", "/test", group, `${group}/`, `${group}/.`, `${group}/..`, `${group}/a/b`];
  refused.push(`/test/${other}`, `/test/${other}/c`, `${group}/${neighbour}`, `${group}/there`, "relative");
  for (const cgroups_path of refused) {
    plugin.answers.CreateContainer = () => ({ adjust: { linux: { cgroups_path } } });
    await assert.rejects(
      engine.createContainer(pod, containerConfig(), never),
      { kind: "invalid-argument", message: /control group .* is (not a group in its pod's|another's)/ },
      cgroups_path,
    );
  }
  plugin.answers.CreateContainer = () => ({ adjust: { linux: { cgroups_path: `${group}/own` } } });
  await engine.createContainer(pod, containerConfig(), never);
  await assert.rejects(engine.createContainer(pod, containerConfig(named("second")), never), /another's/);
});

test("an OOM score is as low as this daemon may give", async () => {
  const nri = await begin();
  const { engine } = nri;
  const pod = await nri.pod("p");
  const lowest = { resources: { ...NO_RESOURCES, oomScoreAdj: -1000 }, ...named("lowest") };
  const asked = engine.container(await engine.createContainer(pod, containerConfig(lowest), never));
  await nri.join("10-score", {
    CreateContainer: () => ({ adjust: { linux: { oom_score_adj: { value: -1000 } } } }),
  });
  const id = await engine.createContainer(pod, containerConfig(), never);
  assert.equal(nri.spec(id).process?.oomScoreAdj, asked.resources.oomScoreAdj);
  assert.equal(engine.container(id).resources.oomScoreAdj, asked.resources.oomScoreAdj);
});

test("what only the start would refuse is refused when the container is created", async () => {
  const nri = await begin();
  const { engine } = nri;
  const metadata = { name: "u", uid: "u", namespace: "n", attempt: 0 };
  const config = podConfig({ metadata });
  const own = (get: (() => number) | undefined) => [{ containerId: 0, hostId: get?.() ?? 0, length: 2000 }];
  const user = { mode: "pod" as const, uids: own(process.getuid), gids: own(process.getgid) };
  const namespaces = { ...config.namespaces, user };
  const pod = await engine.runPodSandbox({ ...config, namespaces }, "", never);
  await nri.join("10-device", {
    CreateContainer: () => ({
      adjust: { linux: { devices: [{ path: "/dev/none", type: "c", major: 4094, minor: 77 }] } },
    }),
  });
  const { security, ...rest } = containerConfig();
  await assert.rejects(
    engine.createContainer(pod, { ...rest, security: { ...security, namespaces } }, never),
    /device \/dev\/none: the host has no node 4094:77/,
  );
});
