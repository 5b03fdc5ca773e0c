/** Plugins against the engine on fake parts: who is told what and when, and what becomes of bad plugins. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { containerConfig } from "../engine/sample-config.ts";
import { type FakePlugin, Unimplemented } from "./fake-plugin.ts";
import { named, never, NriSetting } from "./fake-nri-setting.ts";
import type { NriOptions } from "./nri.ts";

let setting: NriSetting | undefined;

async function begin(more: Partial<NriOptions> = {}): Promise<NriSetting> {
  return (setting = await NriSetting.begin(more));
}
afterEach(() => setting?.end());

test("a plugin gets each event of a pod's life, in order", async () => {
  const nri = await begin();
  const { engine } = nri;
  const plugin = await nri.join("10-log");
  assert.deepEqual(plugin.last.get("Configure"), {
    config: "",
    runtime_name: "gantry",
    runtime_version: "1",
    registration_timeout: "20000",
    request_timeout: "20000",
    NRI_version: "v0.12.1",
  });
  const pod = await nri.pod("p");
  const id = await engine.createContainer(pod, containerConfig(), never);
  await engine.startContainer(id, never);
  await engine.updateContainerResources(id, { ...engine.container(id).resources, cpuShares: 7 }, never);
  await engine.stopContainer(id, 0, never);
  await engine.stopContainer(id, 0, never);
  await engine.stopPodSandbox(pod, never);
  await engine.stopPodSandbox(pod, never);
  await engine.removePodSandbox(pod, never);
  const expected = `Configure|Synchronize|RunPodSandbox ${pod}|CreateContainer ${id}|ValidateContainerAdjustment ${id}|PostCreateContainer ${id}|StartContainer ${id}|PostStartContainer ${id}|UpdateContainer ${id}|PostUpdateContainer ${id}|StopContainer ${id}|StopPodSandbox ${pod}|RemoveContainer ${id}|RemovePodSandbox ${pod}`;
  assert.equal(plugin.calls.join("|"), expected);
  const { pod: shown, container } = plugin.last.get("StopContainer") as Record<
    string,
    Record<string, unknown>
  >;
  assert.equal(shown?.["name"], "p");
  assert.equal(container?.["name"], "c");
  assert.equal(container?.["state"], "CONTAINER_STOPPED");
  assert.equal(container?.["exit_code"], 137);
  assert.deepEqual(container?.["args"], ["/app", "serve"]);
});

test("a container that ends by itself, or cannot start, is stopped once", async () => {
  const nri = await begin();
  const { engine, parts } = nri;
  const plugin = await nri.join("10-log");
  const pod = await nri.pod("p");
  const id = await engine.createContainer(pod, containerConfig(), never);
  await engine.startContainer(id, never);
  parts.shims.get(id)?.exits({ exitCode: 3 });
  while (!plugin.calls.includes(`StopContainer ${id}`)) await sleep(5);
  await engine.stopContainer(id, 0, never);
  await engine.removeContainer(id, never);
  const broken = await engine.createContainer(pod, containerConfig(named("broken")), never);
  parts.failAt = "shim start";
  await assert.rejects(engine.startContainer(broken, never));
  await engine.removeContainer(broken, never);
  const unstarted = await engine.createContainer(pod, containerConfig(named("unstarted")), never);
  await engine.removeContainer(unstarted, never);
  const of = (wanted: string): string[] =>
    plugin.calls.filter((call) => call.endsWith(wanted)).map((call) => call.split(" ")[0] ?? "");
  assert.deepEqual(of(id).slice(-3), ["PostStartContainer", "StopContainer", "RemoveContainer"]);
  assert.deepEqual(of(broken).slice(-3), ["StartContainer", "StopContainer", "RemoveContainer"]);
  assert.deepEqual(of(unstarted).slice(-2), ["PostCreateContainer", "RemoveContainer"]);
});

test("calls that are repeated at once are told once", async () => {
  const nri = await begin();
  const { engine } = nri;
  const plugin = await nri.join("10-log");
  const pod = await nri.pod("p");
  const create = (): Promise<string> => engine.createContainer(pod, containerConfig(), never);
  const [id, again] = await Promise.all([create(), create()]);
  assert.equal(id, again);
  await Promise.all([engine.startContainer(id, never), engine.startContainer(id, never)]);
  await Promise.all([engine.stopContainer(id, 0, never), engine.stopContainer(id, 0, never)]);
  await Promise.all([engine.removeContainer(id, never), engine.removeContainer(id, never)]);
  await Promise.all([engine.removePodSandbox(pod, never), engine.removePodSandbox(pod, never)]);
  const calls = plugin.calls.slice(2);
  assert.equal(new Set(calls).size, calls.length, calls.join(", "));
  assert.equal(calls.length, 10);
});

test("while plugins are asked a pod or container is not there; who refuses names itself, and nothing is left", async () => {
  const nri = await begin();
  const { engine, parts } = nri;
  const first = await nri.join("00-first");
  let seen: unknown[] = [];
  const second = await nri.join("10-second", {
    RunPodSandbox: () => {
      seen = engine.listPodSandboxes({});
      throw new Error("not this pod");
    },
    CreateContainer: () => {
      seen = engine.listContainers({});
      throw new Error("not this container");
    },
  });
  await assert.rejects(nri.pod("p"), /plugin "10-second": RunPodSandbox: not this pod/);
  assert.deepEqual(seen, []);
  assert.deepEqual(engine.listPodSandboxes({}), []);
  assert.equal(parts.pinned.size, 0);
  assert.match(first.calls.at(-1) ?? "", /^RemovePodSandbox/);
  delete second.answers.RunPodSandbox;
  const pod = await nri.pod("p");
  await assert.rejects(
    engine.createContainer(pod, containerConfig(), never),
    /10-second.*not this container/,
  );
  assert.deepEqual(seen, []);
  assert.deepEqual(engine.listContainers({}), []);
  assert.equal(parts.snapshots.size, 0);
  assert.match(first.calls.at(-1) ?? "", /^RemoveContainer/);
  delete second.answers.CreateContainer;
  const id = await engine.createContainer(pod, containerConfig(), never);
  second.answers.StartContainer = () => {
    throw new Error("not started");
  };
  await assert.rejects(engine.startContainer(id, never), /10-second.*not started/);
  assert.equal(engine.container(id).reason, "StartError");
  assert.equal(first.calls.at(-1), `StopContainer ${id}`);
});

test("a plugin that hangs, dies or breaks the protocol is dropped, and the call goes on", async () => {
  const nri = await begin({ timeouts: { registrationMs: 10_000, requestMs: 4000 } });
  const { engine } = nri;
  const good = await nri.join("50-good");
  const pod = await nri.pod("p");
  const faults: Record<string, (plugin: FakePlugin) => object | Promise<object>> = {
    hang: () => new Promise(() => undefined),
    die: (plugin) => (plugin.close(), new Promise(() => undefined)),
    noise: (plugin) => (plugin.socket.write(Buffer.alloc(64, 0xff)), new Promise(() => undefined)),
  };
  for (const [what, fault] of Object.entries(faults)) {
    const bad: FakePlugin = await nri.join("10-bad", { CreateContainer: () => fault(bad) });
    const id = await engine.createContainer(pod, containerConfig(named(what)), never);
    await bad.ended();
    assert.ok(good.calls.includes(`CreateContainer ${id}`));
  }
  const mute = nri.connect();
  mute.answers.Configure = () => new Promise(() => undefined);
  await mute.register("10-mute");
  await mute.ended();
  for (const name of ["1-short", "xx-letters", "10-sl/ash", "10-"]) {
    const wrong = nri.connect();
    assert.match((await wrong.register(name)) ?? "", /plugin (index|name)/);
    await wrong.ended();
  }
});

test("a plugin that hangs while it is shown the state is not shown it again at once", async (t) => {
  // However slow the machine is, no time passes.
  t.mock.method(performance, "now", () => 1);
  const nri = await begin({ timeouts: { registrationMs: 4000, requestMs: 20_000 } });
  const come = async (name: string): Promise<FakePlugin> => {
    const plugin = nri.connect({ Synchronize: () => new Promise(() => undefined) });
    await plugin.register(name);
    await plugin.ended();
    return plugin;
  };
  assert.ok((await come("10-hangs")).calls.includes("Synchronize"));
  assert.deepEqual((await come("20-hangs")).calls, []);
  assert.ok((await come("10-other")).calls.includes("Synchronize"));
});

test("what is created while a plugin is shown the state waits, and reaches it once", async () => {
  const nri = await begin();
  const { engine } = nri;
  const pod = await nri.pod("p");
  const before = await engine.createContainer(pod, containerConfig(named("before")), never);
  const gate = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  const joining = nri.join("10-late", {
    Synchronize: async () => {
      reached.resolve();
      await gate.promise;
      return {};
    },
  });
  await reached.promise;
  const during = engine.createContainer(pod, containerConfig(named("during")), never);
  await sleep(20);
  assert.equal(engine.listContainers({}).length, 1);
  gate.resolve();
  const plugin = await joining;
  const id = await during;
  const state = plugin.last.get("Synchronize") as { containers: { id: string }[] };
  assert.deepEqual(
    state.containers.map((container) => container.id),
    [before],
  );
  assert.ok(plugin.calls.includes(`CreateContainer ${id}`));
});

test("pods that come and go while plugins arrive: each plugin gets a consistent account", async () => {
  const nri = await begin();
  const { engine } = nri;
  const arrivals = (async () => {
    for (let index = 10; index < 20; index++) await nri.join(`${index}-p`);
  })();
  await Promise.all(
    Array.from({ length: 8 }, async (_, worker) => {
      for (let round = 0; round < 8; round++) {
        const pod = await nri.pod(`p${worker}-${round}`);
        const id = await engine.createContainer(pod, containerConfig(), never);
        await engine.startContainer(id, never);
        await engine.removePodSandbox(pod, never);
      }
    }),
  );
  await arrivals;
  for (const plugin of nri.plugins) {
    const { pods, containers } = plugin.last.get("Synchronize") as Record<
      "pods" | "containers",
      { id: string }[]
    >;
    const known = new Set([...pods, ...containers].map(({ id }) => id));
    for (const call of plugin.calls.slice(2)) {
      const [method, id = ""] = call.split(" ");
      if (method === "RunPodSandbox" || method === "CreateContainer") {
        assert.ok(!known.has(id), `${call}: shown twice`);
        known.add(id);
      } else {
        assert.ok(known.has(id), `${call}: never shown`);
        if (method?.startsWith("Remove")) known.delete(id);
      }
    }
    assert.deepEqual([...known], [], "everything that was shown has gone");
  }
});

test("a plugin gets what it subscribed to, and an old one gets state changes", async () => {
  const nri = await begin();
  const { engine } = nri;
  const narrow = await nri.join("10-narrow", { Configure: () => ({ events: 1 << 2 }) });
  const old = await nri.join("20-old", {
    RunPodSandbox: () => {
      throw new Unimplemented("unimplemented");
    },
  });
  const pod = await nri.pod("p");
  await engine.removePodSandbox(pod, never);
  assert.deepEqual(narrow.calls.slice(2), [`RemovePodSandbox ${pod}`]);
  assert.ok(old.calls.includes(`StateChange ${pod}`));
  assert.equal((old.last.get("StateChange") as { event: string }).event, "RUN_POD_SANDBOX");
  const greedy = nri.connect({ Configure: () => ({ events: 1 << 20 }) });
  await greedy.register("30-greedy");
  await greedy.ended();
});

test("a state that is too large for one message comes in several", async () => {
  const nri = await begin();
  const { engine } = nri;
  const pod = await nri.pod("p");
  const value = "x".repeat(1 << 20);
  for (let index = 0; index < 9; index++)
    await engine.createContainer(
      pod,
      containerConfig({ ...named(`c${index}`), env: [{ key: "BIG", value }] }),
      never,
    );
  const parts_: { containers: object[]; more: boolean }[] = [];
  await nri.join("10-big", {
    Synchronize: (message: { containers: object[]; more: boolean }) => {
      parts_.push(message);
      return { more: message.more };
    },
  });
  assert.equal(
    parts_.reduce((sum, { containers }) => sum + containers.length, 0),
    9,
  );
  assert.deepEqual(
    parts_.map(({ more }) => more),
    [...parts_.slice(1).map(() => true), false],
  );
  assert.ok(parts_.length > 2);
});
