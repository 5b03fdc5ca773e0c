/** Events on the wire: what kubelets read of them, and how their endless stream ends. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { status, type ServiceError } from "@grpc/grpc-js";
import { createEngine } from "../engine/create-engine.ts";
import { FakeParts } from "../engine/fake-parts.ts";
import { podConfig } from "../engine/sample-config.ts";
import { fakeEngine, sampleContainer, samplePodSandbox } from "./fake-engine.ts";
import { serveForTest } from "./serve-for-test.ts";

const never = new AbortController().signal;
const code = (wanted: status) => (error: ServiceError) => error.code === wanted;

/** Events without end; counts those that listen. */
function endless(): { engine: ReturnType<typeof fakeEngine>; listeners: () => number } {
  let listeners = 0;
  const engine = fakeEngine({
    events: async function* (signal) {
      listeners += 1;
      try {
        await new Promise((_, reject) =>
          signal.addEventListener("abort", () => reject(signal.reason as Error)),
        );
        yield* [];
      } finally {
        listeners -= 1;
      }
    },
  });
  return { engine, listeners: () => listeners };
}

test("an event has the pod and its containers in it, as their status calls give them", async () => {
  await using served = await serveForTest(fakeEngine());
  const { client } = served;
  const [event] = await client.GetContainerEvents({});
  assert.ok(event);
  const pod = await client.PodSandboxStatus({ pod_sandbox_id: samplePodSandbox.id });
  assert.deepEqual(event.pod_sandbox_status, pod.status);
  assert.deepEqual(event.containers_statuses, pod.containers_statuses);
  assert.equal(event.pod_sandbox_status?.metadata?.uid, "uid-1");
  assert.deepEqual(
    [event.container_id, event.container_event_type, event.created_at],
    [sampleContainer.id, "CONTAINER_STOPPED_EVENT", "1763700002000000004"],
  );
});

test("the status of a pod is at least as new as an event before it", async () => {
  const parts = new FakeParts();
  const engine = await createEngine(parts.options());
  await using served = await serveForTest(engine);
  const events = await served.client.followEvents();
  const pod_sandbox_id = await engine.runPodSandbox(podConfig(), "", never);
  const { timestamp } = await served.client.PodSandboxStatus({ pod_sandbox_id });
  for await (const event of events) {
    assert.equal(event.container_id, pod_sandbox_id);
    assert.ok(BigInt(event.created_at) < BigInt(timestamp));
    if (event.container_event_type === "CONTAINER_STARTED_EVENT") break;
  }
  parts.remove();
});

test("a client that goes, and a daemon that stops, end the stream", async () => {
  const { engine, listeners } = endless();
  await using served = await serveForTest(engine);
  const first = await served.client.followEvents();
  const second = await served.client.followEvents();
  assert.equal(listeners(), 2);
  const ended = assert.rejects(first[Symbol.asyncIterator]().next(), code(status.CANCELLED));
  first.cancel();
  await ended;
  while (listeners() > 1) await turn();
  const told = assert.rejects(second[Symbol.asyncIterator]().next(), code(status.UNAVAILABLE));
  await served.server.drain(2 ** 30);
  await told;
  assert.equal(listeners(), 0);
});
