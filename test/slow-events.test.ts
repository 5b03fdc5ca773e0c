/** A client of events that does not read, below gRPC's level: grpc-js's own client reads what nobody asks for. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type IncomingHttpHeaders } from "node:http2";
import { connect as connectSocket } from "node:net";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { status } from "@grpc/grpc-js";
import { messageType } from "../src/cri/protocol.ts";
import { serveForTest } from "../src/cri/serve-for-test.ts";
import { createEngine } from "../src/engine/create-engine.ts";
import { EVENT_QUEUE_LIMIT } from "../src/engine/events.ts";
import { FakeParts } from "../src/engine/fake-parts.ts";
import { containerConfig, podConfig } from "../src/engine/sample-config.ts";

const never = new AbortController().signal;

test("a client that reads nothing costs a bounded queue, and is told that it has missed something", async () => {
  const parts = new FakeParts();
  const engine = await createEngine(parts.options());
  await using served = await serveForTest(engine);
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
  const create = (attempt: number): Promise<string> =>
    engine.createContainer(pod, containerConfig({ metadata: { name: "c", attempt } }), never);
  const made = [pod, pod];
  // Each event has the states of all of them.
  for (let attempt = 0; attempt < 100; attempt++) made.push(await create(attempt));
  for (let states = 0; states < EVENT_QUEUE_LIMIT * 2; states += 203) {
    const id = await create(made.length);
    await engine.removeContainer(id, never);
    made.push(id, id);
    await turn();
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
