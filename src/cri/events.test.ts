/** Events on the wire: what kubelets read of them, and how their endless stream ends. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type IncomingHttpHeaders } from "node:http2";
import { connect as connectSocket } from "node:net";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { status, type ServiceError } from "@grpc/grpc-js";
import { createEngine } from "../engine/create-engine.ts";
import { EVENT_QUEUE_LIMIT } from "../engine/events.ts";
import { FakeParts } from "../engine/fake-parts.ts";
import { containerConfig, podConfig } from "../engine/sample-config.ts";
import { fakeEngine, sampleContainer, samplePodSandbox } from "./fake-engine.ts";
import { messageType } from "./protocol.ts";
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

test("a client that reads nothing costs a bounded queue, and is told that it has missed something", async () => {
  const parts = new FakeParts();
  const engine = await createEngine(parts.options());
  await using served = await serveForTest(engine);
  // Not by grpc-js, whose client reads whether or not it is asked to.
  const session = connect("http://localhost", { createConnection: () => connectSocket(served.socketPath) });
  const stream = session.request({
    ":method": "POST",
    ":path": "/runtime.v1.RuntimeService/GetContainerEvents",
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.pause();
  stream.end(Buffer.alloc(5));
  const trailers = once(stream, "trailers") as Promise<[IncomingHttpHeaders]>;
  await once(stream, "response");
  const pod = await engine.runPodSandbox(podConfig(), "", never);
  const made = [pod, pod];
  while (made.length < EVENT_QUEUE_LIMIT * 2) {
    const config = containerConfig({ metadata: { name: "c", attempt: made.length } });
    const id = await engine.createContainer(pod, config, never);
    await engine.removeContainer(id, never);
    made.push(id, id);
    if (made.length % 64 === 0) await turn();
  }
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  assert.equal((await trailers)[0]["grpc-status"], String(status.RESOURCE_EXHAUSTED));
  const heard = eventIds(Buffer.concat(chunks));
  assert.ok(heard.length > 0 && heard.length < EVENT_QUEUE_LIMIT, String(heard.length));
  assert.deepEqual(heard, made.slice(0, heard.length), "what was heard is without a gap");
  session.close();
  parts.remove();
});

/** Of messages as they follow each other in a body: a byte, the length in four, the message. */
function eventIds(body: Buffer): string[] {
  const type = messageType("ContainerEventResponse");
  const ids: string[] = [];
  for (let at = 0; at < body.length;) {
    const end = at + 5 + body.readUInt32BE(at + 1);
    ids.push((type.decode(body.subarray(at + 5, end)) as unknown as { container_id: string }).container_id);
    at = end;
  }
  return ids;
}
