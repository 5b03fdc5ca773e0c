import assert from "node:assert/strict";
import { test } from "node:test";
import { createLoopbackNetwork } from "./loopback-network.ts";
import type { PodNetworkRequest } from "./pod-network.ts";

test("a network without addresses is always ready", async () => {
  const network = createLoopbackNetwork();
  const request = { podSandboxId: "a" } as PodNetworkRequest;
  const never = new AbortController().signal;
  assert.equal(network.status().ready, true);
  assert.deepEqual((await network.setup(request, never)).ips, []);
  await network.teardown(request, undefined, never);
  await network.collect(new Set());
  await network.close();
  await assert.rejects(network.setup(request, AbortSignal.abort()), { name: "AbortError" });
});
