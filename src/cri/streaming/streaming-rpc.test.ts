import assert from "node:assert/strict";
import test from "node:test";
import { status, type ServiceError } from "@grpc/grpc-js";
import { fakeEngine, sampleContainer, samplePodSandbox } from "../fake-engine.ts";
import { serveForTest } from "../serve-for-test.ts";
import { SpdyTestClient } from "./spdy-test-client.ts";

const running = { ...sampleContainer, state: "running" } as const;
const exec = { container_id: running.id.slice(0, 12), cmd: ["sh"], stdout: true };

function answers(code: status, details: RegExp): (error: ServiceError) => boolean {
  return (error) => {
    assert.equal(status[error.code], status[code], error.details);
    assert.match(error.details, details);
    return true;
  };
}

test("each of the three gives a URL where its client is served", async () => {
  await using served = await serveForTest(fakeEngine({ container: () => running }));
  const { client } = served;
  for (const [kind, { url }] of [
    ["exec", await client.Exec(exec)],
    ["attach", await client.Attach({ container_id: running.id, stdin: true })],
    ["portforward", await client.PortForward({ pod_sandbox_id: samplePodSandbox.id, port: [80] })],
  ] as const) {
    assert.match(url, new RegExp(`^http://127.0.0.1:\\d+/${kind}/[\\w-]{43}$`));
    const protocol = kind === "portforward" ? "portforward.k8s.io" : "v4.channel.k8s.io";
    const connected = await SpdyTestClient.connect(url, protocol);
    assert.match(connected.response, /^HTTP\/1.1 101 /);
    connected.socket.destroy();
  }
});

test("Exec and Attach want a stream, no standard error beside a terminal, and the container's terminal", async () => {
  await using served = await serveForTest(fakeEngine({ container: () => running }));
  const { client } = served;
  const invalid = status.INVALID_ARGUMENT;
  await assert.rejects(client.Exec({ ...exec, stdout: false }), answers(invalid, /all false/));
  await assert.rejects(client.Exec({ ...exec, tty: true, stderr: true }), answers(invalid, /stderr/));
  await assert.rejects(client.Exec({ ...exec, cmd: [] }), answers(invalid, /cmd is empty/));
  await assert.rejects(client.Exec({ ...exec, cmd: ["a\0b"] }), answers(invalid, /cmd\[0\]/));
  await assert.rejects(client.Exec({ ...exec, container_id: "" }), answers(invalid, /container_id/));
  const attach = { container_id: running.id, stdout: true };
  await assert.rejects(client.Attach({ ...attach, tty: true }), answers(invalid, /^tty is true/));
  await assert.rejects(client.Attach({ container_id: running.id }), answers(invalid, /all false/));
});

test("what does not run, or is not ready, or not there, has no streams", async () => {
  const stopped = { ...samplePodSandbox, state: "notready" } as const;
  await using served = await serveForTest(fakeEngine({ podSandbox: () => stopped }));
  const { client } = served;
  const failed = status.FAILED_PRECONDITION;
  await assert.rejects(client.Exec(exec), answers(failed, /is exited, not running/));
  await assert.rejects(client.Attach({ container_id: running.id, stdin: true }), answers(failed, /exited/));
  await assert.rejects(client.Exec({ ...exec, container_id: "none" }), answers(status.NOT_FOUND, /none/));
  await assert.rejects(client.PortForward({ pod_sandbox_id: "a" }), answers(failed, /is not ready/));
  await assert.rejects(
    client.PortForward({ pod_sandbox_id: "a", port: [0] }),
    answers(status.INVALID_ARGUMENT, /port\[0\]/),
  );
});
