import assert from "node:assert/strict";
import { test } from "node:test";
import type { PodNetworkRequest } from "../network/pod-network.ts";
import { createUnsetNetwork } from "./unset-network.ts";

test("without a chosen network the node is not ready, pods are refused, and taking down works", async () => {
  const network = createUnsetNetwork();
  const { ready, message } = network.status();
  assert.equal(ready, false);
  assert.match(message, /set mode in \[network\]/);
  const request = {} as PodNetworkRequest;
  await assert.rejects(network.setup(request, new AbortController().signal), { kind: "failed-precondition" });
  await network.teardown(request, undefined, new AbortController().signal);
});
