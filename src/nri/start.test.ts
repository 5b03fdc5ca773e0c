/** Starts with plugins that take their time: what stops, removes or gives up the container meanwhile. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { containerConfig } from "../engine/sample-config.ts";
import { createEngine } from "../engine/create-engine.ts";
import type { FakePlugin } from "./fake-plugin.ts";
import { never, NriSetting } from "./fake-nri-setting.ts";

let setting: NriSetting | undefined;

afterEach(() => setting?.end());

/** A container whose start waits for the plugin, until `answer` is called. */
async function asked(): Promise<{
  nri: NriSetting;
  id: string;
  plugin: FakePlugin;
  answer: () => void;
  started: Promise<unknown>;
}> {
  const nri = (setting = await NriSetting.begin());
  const { promise, resolve } = Promise.withResolvers<object>();
  const plugin = await nri.join("10-slow", { StartContainer: () => promise });
  const id = await nri.engine.createContainer(await nri.pod("p"), containerConfig(), never);
  const started = nri.engine.startContainer(id, never).catch((error: unknown) => error);
  while (!plugin.calls.includes(`StartContainer ${id}`)) await sleep(5);
  return { nri, id, plugin, answer: () => resolve({}), started };
}

function eventsOf(plugin: FakePlugin, id: string): string[] {
  const all = plugin.calls.filter((call) => call.endsWith(id)).map((call) => call.split(" ")[0] ?? "");
  return all.slice(all.indexOf("StartContainer"));
}

const WHOLE_LIFE = ["StartContainer", "PostStartContainer", "StopContainer", "RemoveContainer"];

test("a removal while plugins are asked for the start waits for it, and nothing is left", async () => {
  const { nri, id, plugin, answer, started } = await asked();
  const removed = nri.engine.removeContainer(id, never);
  await sleep(50);
  answer();
  await Promise.all([started, removed]);
  assert.deepEqual(eventsOf(plugin, id), WHOLE_LIFE);
  assert.deepEqual(nri.engine.listContainers({}), []);
  const next = await createEngine(nri.parts.options());
  assert.deepEqual(next.listContainers({}), []);
  await next.close();
});

test("a container that exits as soon as it is started is told as started, and then as stopped", async () => {
  const nri = (setting = await NriSetting.begin());
  nri.parts.exitAtOnce = true;
  const plugin = await nri.join("10-log");
  const id = await nri.engine.createContainer(await nri.pod("p"), containerConfig(), never);
  await nri.engine.startContainer(id, never);
  await nri.engine.removeContainer(id, never);
  assert.deepEqual(eventsOf(plugin, id), WHOLE_LIFE);
});

test("no container escapes a stop by a start for which plugins are asked", async () => {
  const { nri, id, plugin, answer } = await asked();
  const stopped = nri.engine.stopContainer(id, 0, never);
  await sleep(50);
  answer();
  await stopped;
  assert.equal(nri.engine.container(id).state, "exited");
  await nri.engine.removeContainer(id, never);
  assert.deepEqual(eventsOf(plugin, id), WHOLE_LIFE);
});

test("a container is not started while plugins are told of its removal", async () => {
  const nri = (setting = await NriSetting.begin());
  const { promise, resolve } = Promise.withResolvers<object>();
  const plugin = await nri.join("10-slow", { RemoveContainer: () => promise });
  const id = await nri.engine.createContainer(await nri.pod("p"), containerConfig(), never);
  const removed = nri.engine.removeContainer(id, never);
  while (!plugin.calls.includes(`RemoveContainer ${id}`)) await sleep(5);
  await assert.rejects(nri.engine.startContainer(id, never), /is being removed/);
  resolve({});
  await removed;
  assert.ok(!plugin.calls.includes(`StartContainer ${id}`));
});

test("a start that is given up is told as a stop, and may be repeated", async () => {
  const nri = (setting = await NriSetting.begin());
  const plugin = await nri.join("10-log");
  const id = await nri.engine.createContainer(await nri.pod("p"), containerConfig(), never);
  const { promise, resolve } = Promise.withResolvers<void>();
  nri.parts.pause = { step: "shim start", until: promise };
  nri.parts.failAt = "shim start";
  const gone = new AbortController();
  const given = nri.engine.startContainer(id, gone.signal);
  while (!nri.parts.asked.includes("shim start")) await sleep(5);
  gone.abort(new Error("gone"));
  resolve();
  await assert.rejects(given);
  assert.equal(nri.engine.container(id).state, "created");
  await nri.engine.startContainer(id, never);
  await nri.engine.removeContainer(id, never);
  assert.deepEqual(eventsOf(plugin, id), ["StartContainer", "StopContainer", ...WHOLE_LIFE]);
});
