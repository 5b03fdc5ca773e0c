import assert from "node:assert/strict";
import { test } from "node:test";
import { withFormerNetworks } from "./former-networks.ts";
import type { PodNetwork, PodNetworkRequest } from "./pod-network.ts";

const never = new AbortController().signal;

function recording(name: string, asked: string[], failing = ""): PodNetwork {
  const ask = async (what: string): Promise<void> => {
    asked.push(`${name} ${what}`);
    if (what === failing) throw new Error("it was told to fail");
  };
  return {
    name,
    status: () => ({ ready: true, reason: "", message: name }),
    setup: async () => {
      await ask("setup");
      return { ips: [], interfaceName: "eth0", state: null };
    },
    teardown: () => ask("teardown"),
    abandon: (id) => void asked.push(`${name} abandon ${id}`),
    collect: () => ask("collect"),
    close: () => ask("close"),
  };
}

test("new pods go to the chosen network, and all take down what is theirs", async () => {
  const asked: string[] = [];
  const network = withFormerNetworks(recording("cni", asked, "teardown"), [recording("embedded", asked)]);
  assert.equal(network.name, "cni");
  assert.equal(network.status().message, "cni");
  const request = { podSandboxId: "a" } as PodNetworkRequest;
  await network.collect(new Set());
  await network.setup(request, never);
  await assert.rejects(
    network.teardown(request, null, never),
    /teardown of the network "cni": it was told to fail/,
  );
  network.abandon?.("a");
  await network.close();
  assert.deepEqual(asked, [
    "cni collect",
    "embedded collect",
    "cni setup",
    "cni teardown",
    "embedded teardown",
    "cni abandon a",
    "embedded abandon a",
    "cni close",
    "embedded close",
  ]);
});

test("without former ones it is the network itself", () => {
  const network = recording("none", []);
  assert.equal(withFormerNetworks(network, []), network);
});
