/** A node gets another network while pods run: they keep theirs, and everything of both goes with the last pod. */
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { criClient } from "../src/cri/client.ts";
import { bridgeConf, cniHoldings, cniSettings, writeConf } from "./harness/cni.ts";
import { runCommand } from "./harness/command.ts";
import { freePort } from "./harness/free-port.ts";
import { makeSetting, podConfig, type Setting } from "./harness/setting.ts";

let setting: Setting;
before(async () => (setting = await makeSetting()));
after(() => setting?.finish());

test("pods of the embedded network and of CNI plugins, one after the other and back", async (t) => {
  const { daemon } = setting;
  const bridge = `${daemon.name}c`;
  t.after(() => runCommand("ip", ["link", "delete", bridge]));
  const subnet = daemon.subnet.replace(/^10\.\d+/, "10.199");
  await writeConf(daemon, "10-test.conflist", bridgeConf(daemon, { bridge, subnet }));
  const choose = async (mode: string): Promise<void> => {
    await daemon.kill();
    await mkdir(daemon.path("conf.d"), { recursive: true });
    const lines = ["[network]", `mode = "${mode}"`, ...cniSettings(daemon)];
    await writeFile(daemon.path("conf.d/network.toml"), lines.join("\n"));
    await daemon.run();
  };
  const run = async (name: string): Promise<{ id: string; ip: string }> => {
    const client = criClient(daemon.endpoint);
    const port_mappings = [{ protocol: 0, container_port: 80, host_port: await freePort(), host_ip: "" }];
    const { pod_sandbox_id: id } = await client.RunPodSandbox({ config: podConfig(name, { port_mappings }) });
    const { status } = await client.PodSandboxStatus({ pod_sandbox_id: id });
    client.close();
    return { id, ip: status?.network?.ip ?? "" };
  };
  const reached = async (ip: string): Promise<boolean> =>
    (await runCommand("busybox", ["ping", "-c", "1", "-W", "3", ip])).code === 0;

  const embedded = await run("embedded");
  await choose("cni");
  const plugged = await run("plugged");
  assert.match(plugged.ip, /^10\.199\./);
  for (const { ip } of [embedded, plugged]) assert.ok(await reached(ip), ip);
  await setting.crictl.run("rmp", "--force", embedded.id);
  await choose("embedded");
  const back = await run("back");
  for (const { ip } of [back, plugged]) assert.ok(await reached(ip), ip);
  await setting.crictl.run("rmp", "--force", plugged.id);
  assert.deepEqual(await cniHoldings(daemon), []);
  await setting.crictl.run("rmp", "--force", back.id);
});
