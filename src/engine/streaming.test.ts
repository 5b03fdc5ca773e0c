import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, test } from "node:test";
import type { ShimExecOptions } from "../shim/shim.ts";
import { createEngine } from "./create-engine.ts";
import type { Engine, ProcessSession } from "./engine.ts";
import { fakeExec, FakeParts, type FakeShim } from "./fake-parts.ts";
import { containerConfig, podConfig } from "./sample-config.ts";

const never = new AbortController().signal;
let parts: FakeParts;
let engine: Engine;

beforeEach(async () => {
  parts = new FakeParts();
  engine = await createEngine(parts.options());
});
afterEach(async () => {
  await engine.close();
  parts.remove();
});

async function running(more: object = {}): Promise<{ pod: string; id: string; shim: FakeShim }> {
  const pod = await engine.runPodSandbox(podConfig(), "", never);
  const id = await engine.createContainer(pod, containerConfig(more), never);
  await engine.startContainer(id, never);
  const shim = parts.shims.get(id);
  assert.ok(shim);
  return { pod, id, shim };
}

test("an exec dies with its client, and needs a command and a running container", async () => {
  const { id, shim } = await running();
  const asked: ShimExecOptions[] = [];
  shim.exec = (options) => {
    asked.push(options);
    return Promise.resolve(fakeExec("hi", 0));
  };
  const options = { command: ["sh"], terminal: true, stdin: true };
  const session = await engine.exec(id, options, never);
  assert.equal(String(session.stdout.read()), "hi");
  assert.deepEqual(
    asked.map(({ terminal, stdin, killOnDisconnect }) => [terminal, stdin, killOnDisconnect]),
    [[true, true, true]],
  );
  await assert.rejects(engine.exec(id, { ...options, command: [] }, never), { kind: "invalid-argument" });
  await assert.rejects(engine.exec("none", options, never), { kind: "not-found" });
  shim.exits({});
  while (engine.container(id).state !== "exited") await new Promise((resolve) => setImmediate(resolve));
  await assert.rejects(engine.exec(id, options, never), { kind: "failed-precondition" });
  await assert.rejects(engine.attach(id, never), { kind: "failed-precondition" });
});

test("the first size of an attached terminal is set by way of another one", async () => {
  const sizes: string[] = [];
  const session: ProcessSession = {
    stdin: undefined,
    stdout: new PassThrough(),
    stderr: undefined,
    resize: async (width, height) => void sizes.push(`${width}x${height}`),
    wait: () => new Promise(() => undefined),
    close: () => undefined,
  };
  const { id, shim } = await running({ tty: true });
  shim.attach = () => Promise.resolve(session);
  const attached = await engine.attach(id, never);
  await attached.resize(80, 24);
  await attached.resize(80, 25);
  assert.deepEqual(sizes, ["80x23", "80x24", "80x25"]);
  const single = await engine.attach(id, never);
  sizes.length = 0;
  await single.resize(80, 1);
  assert.deepEqual(sizes, ["80x2", "80x1"]);
});

test("a port is connected to in the pod's network, while the pod is ready", async () => {
  const { pod } = await running();
  parts.asked.length = 0;
  await engine.portForward(pod, 80, never);
  assert.deepEqual(parts.asked, ["connect net 80"]);
  parts.failAt = "connect net 81";
  await assert.rejects(engine.portForward(pod, 81, never), { kind: "unavailable", message: new RegExp(pod) });
  await assert.rejects(engine.portForward("none", 80, never), { kind: "not-found" });
  await engine.stopPodSandbox(pod, never);
  await assert.rejects(engine.portForward(pod, 80, never), { kind: "failed-precondition" });
});
