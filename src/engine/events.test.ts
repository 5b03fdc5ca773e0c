/** Events of the engine on fake parts: which, in which order, with what in them, and what a slow reader gets. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { createEngine } from "./create-engine.ts";
import type { Engine } from "./engine.ts";
import { EVENT_QUEUE_LIMIT, type LifecycleEvent } from "./events.ts";
import { FakeParts } from "./fake-parts.ts";
import { containerConfig, podConfig } from "./sample-config.ts";

const never = new AbortController().signal;
let parts: FakeParts;
let engine: Engine;
let listener: AbortController;

beforeEach(async () => {
  parts = new FakeParts();
  engine = await createEngine(parts.options());
  listener = new AbortController();
});
afterEach(async () => {
  listener.abort();
  await engine.close();
  parts.remove();
});

/** Listens from now on; what it gives stops listening and gives what was heard. */
function listen(): () => Promise<LifecycleEvent[]> {
  const stop = new AbortController();
  const heard: LifecycleEvent[] = [];
  const done = (async () => {
    for await (const event of engine.events(stop.signal)) heard.push(event);
  })();
  return async () => {
    for (let seen = -1; seen !== heard.length;) {
      seen = heard.length;
      await turn();
      await turn();
    }
    stop.abort(new Error("enough"));
    await assert.rejects(done, /enough/);
    return heard;
  };
}
const names = (events: LifecycleEvent[], ids: Record<string, string>): string[] =>
  events.map(({ id, change }) => `${ids[id] ?? id} ${change}`);

test("a pod and a container from beginning to end, with the states at each change", async () => {
  const stop = listen();
  const pod = await engine.runPodSandbox(podConfig(), "", never);
  const id = await engine.createContainer(pod, containerConfig(), never);
  await engine.startContainer(id, never);
  await engine.stopContainer(id, 0, never);
  await engine.removeContainer(id, never);
  await engine.stopPodSandbox(pod, never);
  await engine.stopPodSandbox(pod, never);
  await engine.removePodSandbox(pod, never);
  const events = await stop();
  const ids = { [pod]: "pod", [id]: "container" };
  assert.deepEqual(
    events.map(({ id: of, change, podSandbox, containers }) => [
      `${ids[of]} ${change}`,
      podSandbox.state,
      ...containers.map(({ state, exitCode }) => `${state} ${exitCode}`),
    ]),
    [
      ["pod created", "ready"],
      ["pod started", "ready"],
      ["container created", "ready", "created 0"],
      ["container started", "ready", "running 0"],
      ["container stopped", "ready", "exited 137"],
      ["container deleted", "ready"],
      ["pod stopped", "notready"],
      ["pod deleted", "notready"],
    ],
  );
  assert.ok(events.every(({ atNs }, index) => index === 0 || atNs > (events[index - 1]?.atNs ?? 0n)));
});

test("an event comes after its record", async () => {
  const options = parts.options();
  await engine.close();
  engine = await createEngine(options);
  const stop = listen();
  const pod = await engine.runPodSandbox(podConfig(), "", never);
  const id = await engine.createContainer(pod, containerConfig(), never);
  const table = options.store.table<{ state: string }>("containers");
  const { put } = table;
  // The table that the engine writes to is another object of the same class.
  const prototype = Object.getPrototypeOf(table) as typeof table;
  prototype.put = () => {
    throw new Error("disk full");
  };
  try {
    await assert.rejects(engine.startContainer(id, never));
  } finally {
    prototype.put = put;
  }
  assert.deepEqual(names(await stop(), { [pod]: "pod", [id]: "container" }), [
    "pod created",
    "pod started",
    "container created",
  ]);
});

test("a failed start and a dead pause process are told as ends, and the pod's end once", async () => {
  const namespaces = { network: "pod", pid: "pod", ipc: "pod", targetId: "" } as const;
  const pod = await engine.runPodSandbox(podConfig({ namespaces }), "", never);
  const id = await engine.createContainer(pod, containerConfig(), never);
  const stop = listen();
  parts.failAt = "shim start";
  await assert.rejects(engine.startContainer(id, never));
  parts.shims.get(pod)?.exits({ exitCode: 1 });
  while (engine.podSandbox(pod).state === "ready") await turn();
  await engine.removePodSandbox(pod, never);
  assert.deepEqual(names(await stop(), { [pod]: "pod", [id]: "container" }), [
    "container stopped",
    "pod stopped",
    "container deleted",
    "pod deleted",
  ]);
});

test("what a later daemon sees is told by it; what it found at its start is not", async () => {
  const pod = await engine.runPodSandbox(podConfig(), "", never);
  const ids = [];
  for (const attempt of [1, 2]) {
    const config = containerConfig({ metadata: { name: "c", attempt } });
    ids.push(await engine.createContainer(pod, config, never));
  }
  const [first, second] = ids as [string, string];
  for (const id of ids) await engine.startContainer(id, never);
  await engine.close();
  parts.shims.get(first)?.exits({ exitCode: 3 });
  const shim = parts.shims.get(second);
  engine = await createEngine(parts.options());
  while (engine.container(first).state !== "exited") await turn();
  const stop = listen();
  shim?.exits({ exitCode: 4 });
  while (engine.container(second).state !== "exited") await turn();
  const events = await stop();
  assert.deepEqual(names(events, { [second]: "second" }), ["second stopped"]);
  assert.deepEqual(events[0]?.containers.map(({ exitCode }) => exitCode).sort(), [3, 4]);
});

test("every listener hears everything; one that does not keep up is ended and told so", async () => {
  const pod = await engine.runPodSandbox(podConfig(), "", never);
  const create = (attempt: number): Promise<string> =>
    engine.createContainer(pod, containerConfig({ metadata: { name: "c", attempt } }), never);
  for (let attempt = 0; attempt < 126; attempt++) await create(attempt);
  const events = engine.events(listener.signal);
  const slow = events[Symbol.asyncIterator]();
  const both = [listen(), listen()];
  // Two events with the states of the pod and its containers: 128 with the new one, 127 without.
  const life = async (attempt: number): Promise<void> => engine.removeContainer(await create(attempt), never);
  const lives = Math.floor(EVENT_QUEUE_LIMIT / 255);
  for (let attempt = 200; attempt < 200 + lives; attempt++) await life(attempt);
  const heard = await Promise.all(both.map((stop) => stop()));
  assert.deepEqual(heard[0], heard[1]);
  assert.equal(heard[0]?.length, lives * 2);
  assert.equal((await slow.next()).done, false);
  for (const attempt of [300, 301]) await life(attempt);
  await assert.rejects(slow.next(), { kind: "resource-exhausted", message: /events: \d+ were not taken/ });
  assert.deepEqual(await slow.next(), { done: true, value: undefined });
});

test("a listener that goes is let go, whether or not it ever read", async () => {
  const unread = engine.events(listener.signal);
  const waiting = engine.events(listener.signal)[Symbol.asyncIterator]().next();
  listener.abort(new Error("gone"));
  await assert.rejects(waiting, /gone/);
  await assert.rejects(unread[Symbol.asyncIterator]().next(), /gone/);
  assert.throws(() => engine.events(listener.signal), /gone/);
});
