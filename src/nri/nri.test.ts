/** Plugins against the engine on fake parts: connections, events and answers are real. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { GantryError } from "../base/errors.ts";
import { silentLogger } from "../base/logger.ts";
import { NO_RESOURCES } from "../engine/container-spec.ts";
import { createEngine } from "../engine/create-engine.ts";
import type { Engine } from "../engine/engine.ts";
import { FakeParts } from "../engine/fake-parts.ts";
import type { Spec } from "../engine/lifecycle-hooks.ts";
import { containerConfig, podConfig } from "../engine/sample-config.ts";
import { FakePlugin, Unimplemented } from "./fake-plugin.ts";
import { createNri, type Nri, type NriOptions } from "./nri.ts";

const never = new AbortController().signal;
let parts: FakeParts;
let engine: Engine;
let nri: Nri;
let socketPath: string;
let plugins: FakePlugin[];

async function begin(more: Partial<NriOptions> = {}): Promise<void> {
  nri = createNri({
    log: silentLogger,
    runtime: { name: "gantry", version: "1" },
    socketPath,
    freeSocketPath: () => Promise.resolve(),
    pluginDirectory: join(parts.directory, "plugins"),
    configDirectory: join(parts.directory, "conf.d"),
    timeouts: { registrationMs: 20_000, requestMs: 20_000 },
    validator: {
      enable: false,
      rejectOciHooks: false,
      rejectRuntimeDefaultSeccomp: false,
      rejectUnconfinedSeccomp: false,
      rejectCustomSeccomp: false,
      rejectNamespaces: false,
      rejectSysctls: false,
      requiredPlugins: [],
      tolerateMissingAnnotation: "",
    },
    ...more,
  });
  engine = await createEngine({ ...parts.options(), hooks: nri });
  await nri.start();
}

beforeEach(() => {
  parts = new FakeParts();
  plugins = [];
  socketPath = join(parts.directory, "nri/nri.sock");
});
afterEach(async () => {
  for (const plugin of plugins) plugin.close();
  await nri.close();
  await engine.close();
  parts.remove();
});

async function join_(name: string, answers: FakePlugin["answers"] = {}): Promise<FakePlugin> {
  const plugin = await FakePlugin.join(socketPath, name, answers);
  plugins.push(plugin);
  return plugin;
}

const named = (name: string): object => ({ metadata: { name, attempt: 0 } });
const podOf = (name: string): Promise<string> =>
  engine.runPodSandbox(podConfig({ metadata: { name, uid: name, namespace: "n", attempt: 0 } }), "", never);
const specOf = (id: string): Spec => engine.verboseContainer(id)["runtimeSpec"] as Spec;

test("a plugin gets each event of a pod's life, in order", async () => {
  await begin();
  const plugin = await join_("10-log");
  assert.deepEqual(plugin.last.get("Configure"), {
    config: "",
    runtime_name: "gantry",
    runtime_version: "1",
    registration_timeout: "20000",
    request_timeout: "20000",
    NRI_version: "v0.12.1",
  });
  const pod = await podOf("p");
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
  await begin();
  const plugin = await join_("10-log");
  const pod = await podOf("p");
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
  await begin();
  const plugin = await join_("10-log");
  const pod = await podOf("p");
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
  await begin();
  const first = await join_("00-first");
  let seen: unknown[] = [];
  const second = await join_("10-second", {
    RunPodSandbox: () => {
      seen = engine.listPodSandboxes({});
      throw new Error("not this pod");
    },
    CreateContainer: () => {
      seen = engine.listContainers({});
      throw new Error("not this container");
    },
  });
  await assert.rejects(podOf("p"), /plugin "10-second": RunPodSandbox: not this pod/);
  assert.deepEqual(seen, []);
  assert.deepEqual(engine.listPodSandboxes({}), []);
  assert.equal(parts.pinned.size, 0);
  assert.match(first.calls.at(-1) ?? "", /^RemovePodSandbox/);
  delete second.answers.RunPodSandbox;
  const pod = await podOf("p");
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

test("adjustments are in the configuration before it is stored, and each plugin sees those before it", async () => {
  await begin();
  await join_("10-one", {
    CreateContainer: () => ({
      adjust: {
        annotations: { "example.com/a": "1" },
        env: [{ key: "ONE", value: "1" }, { key: "-A" }],
        mounts: [
          { destination: "/m/deep", source: "/etc", type: "bind", options: ["rbind", "ro", "rslave"] },
        ],
        rlimits: [{ type: "RLIMIT_NOFILE", hard: "18446744073709551615", soft: 5 }],
        linux: {
          devices: [{ path: "/dev/x", type: "c", major: 1, minor: 3, file_mode: { value: 0o666 } }],
          resources: { cpu: { shares: { value: 77 } }, memory: { limit: { value: 1 << 24 } } },
          oom_score_adj: { value: 500 },
          cgroups_path: "/elsewhere/c",
          sysctl: { "net.ipv4.ip_forward": "1" },
          io_priority: { class: "IOPRIO_CLASS_BE", priority: 3 },
          scheduler: { policy: "SCHED_BATCH", nice: 5 },
        },
      },
    }),
  });
  const two = await join_("20-two", {
    CreateContainer: () => ({
      adjust: {
        args: ["/other"],
        mounts: [
          { destination: "-/dev/shm" },
          { destination: "/m", source: "/usr", type: "bind", options: ["rbind"] },
        ],
      },
    }),
  });
  const id = await engine.createContainer(await podOf("p"), containerConfig(), never);
  const spec = specOf(id);
  assert.deepEqual(spec.annotations, { "example.com/a": "1" });
  assert.ok(spec.process?.env?.includes("ONE=1"));
  assert.ok(!spec.process?.env?.some((entry) => entry.startsWith("A=")), "the image's variable is gone");
  assert.deepEqual(spec.process?.args, ["/other"]);
  const destinations = (spec.mounts ?? []).map(({ destination }) => destination);
  assert.ok(!destinations.includes("/dev/shm"));
  assert.ok(destinations.indexOf("/m") < destinations.indexOf("/m/deep"), "parents first");
  assert.equal(spec.linux?.rootfsPropagation, "rslave");
  assert.deepEqual(spec.linux?.devices?.at(-1), {
    path: "/dev/x",
    type: "c",
    major: 1,
    minor: 3,
    fileMode: 0o666,
  });
  assert.deepEqual(spec.linux?.resources?.devices?.at(-1), {
    allow: true,
    type: "c",
    major: 1,
    minor: 3,
    access: "rwm",
  });
  assert.deepEqual(spec.linux?.resources?.cpu, { shares: 77 });
  assert.deepEqual(spec.linux?.resources?.memory, { limit: 1 << 24, swap: 1 << 24 });
  assert.equal(spec.process?.oomScoreAdj, 500);
  assert.deepEqual(spec.process?.rlimits, [{ type: "RLIMIT_NOFILE", hard: 2n ** 64n - 1n, soft: 5 }]);
  assert.equal(engine.verboseContainer(id)["cgroupPath"], "/elsewhere/c");
  assert.equal(engine.container(id).resources.cpuShares, 77);
  const seen = two.last.get("CreateContainer") as {
    container: { env: string[]; linux: { cgroups_path: string } };
  };
  assert.ok(seen.container.env.includes("ONE=1"));
  assert.equal(seen.container.linux.cgroups_path, "/elsewhere/c");
});

test("two plugins that set the same are refused by name, unless the later one removes first", async () => {
  await begin();
  const set = (value: string): object => ({ adjust: { env: [{ key: "X", value }] } });
  const second: FakePlugin = await join_("20-b", { CreateContainer: () => set("2") });
  await join_("10-a", { CreateContainer: () => set("1") });
  const pod = await podOf("p");
  await assert.rejects(
    engine.createContainer(pod, containerConfig(), never),
    /plugins "20-b" and "10-a" both tried to set Env X/,
  );
  second.answers.CreateContainer = () => ({ adjust: { env: [{ key: "-X" }, { key: "X", value: "2" }] } });
  const id = await engine.createContainer(pod, containerConfig(), never);
  assert.ok(specOf(id).process?.env?.includes("X=2"));
});

test("what cannot run is refused when the container is created", async () => {
  await begin();
  const plugin = await join_("10-wild");
  const pod = await podOf("p");
  const wild: Record<string, object> = {
    "kernel.panic": { linux: { sysctl: { "kernel.panic": "1" } } },
    "absolute path": { linux: { cgroups_path: "/a/../../b" } },
    oomScoreAdj: { linux: { oom_score_adj: { value: 5000 } } },
    "network devices": { linux: { net_devices: { eth7: { name: "x" } } } },
    namespaces: { linux: { namespaces: [{ type: "nonsense" }] } },
    gold: { linux: { resources: { rdt_class: { value: "gold" } } } },
    "rlimit|RLIMIT": { rlimits: [{ type: "RLIMIT_NONSENSE", hard: 1, soft: 1 }] },
    "CDI device": { CDI_devices: [{ name: "vendor.com/none=1" }] },
    hooks: { hooks: { poststop: [{ path: "relative" }] } },
    "out of range": { linux: { resources: { memory: { limit: { value: "9223372036854775807" } } } } },
  };
  for (const [what, adjust] of Object.entries(wild)) {
    plugin.answers.CreateContainer = () => ({ adjust });
    await assert.rejects(
      engine.createContainer(pod, containerConfig(), never),
      (error) =>
        error instanceof GantryError && error.kind !== "internal" && new RegExp(what).test(error.message),
      what,
    );
  }
  assert.deepEqual(engine.listContainers({}), []);
  assert.equal(parts.snapshots.size, 0);
});

test("a plugin that hangs, dies or breaks the protocol is dropped, and the call goes on", async () => {
  await begin({ timeouts: { registrationMs: 10_000, requestMs: 1500 } });
  const good = await join_("50-good");
  const pod = await podOf("p");
  const faults: Record<string, (plugin: FakePlugin) => object | Promise<object>> = {
    hang: () => new Promise(() => undefined),
    die: (plugin) => (plugin.close(), new Promise(() => undefined)),
    noise: (plugin) => (plugin.socket.write(Buffer.alloc(64, 0xff)), new Promise(() => undefined)),
  };
  for (const [what, fault] of Object.entries(faults)) {
    const bad: FakePlugin = await join_("10-bad", { CreateContainer: () => fault(bad) });
    const id = await engine.createContainer(pod, containerConfig(named(what)), never);
    await bad.ended();
    assert.ok(good.calls.includes(`CreateContainer ${id}`));
  }
  const mute = new FakePlugin(socketPath);
  plugins.push(mute);
  mute.answers.Configure = () => new Promise(() => undefined);
  await mute.register("10-mute");
  await mute.ended();
  for (const name of ["1-short", "xx-letters", "10-sl/ash", "10-"]) {
    const wrong = new FakePlugin(socketPath);
    plugins.push(wrong);
    assert.match((await wrong.register(name)) ?? "", /plugin (index|name)/);
    await wrong.ended();
  }
});

test("what is created while a plugin is shown the state waits, and reaches it once", async () => {
  await begin();
  const pod = await podOf("p");
  const before = await engine.createContainer(pod, containerConfig(named("before")), never);
  const gate = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  const joining = join_("10-late", {
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
  await begin();
  const arrivals = (async () => {
    for (let index = 10; index < 20; index++) await join_(`${index}-p`);
  })();
  await Promise.all(
    Array.from({ length: 8 }, async (_, worker) => {
      for (let round = 0; round < 8; round++) {
        const pod = await podOf(`p${worker}-${round}`);
        const id = await engine.createContainer(pod, containerConfig(), never);
        await engine.startContainer(id, never);
        await engine.removePodSandbox(pod, never);
      }
    }),
  );
  await arrivals;
  for (const plugin of plugins) {
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

test("updates of other containers are made; one that fails takes the new container back", async () => {
  await begin();
  const plugin = await join_("10-balance");
  const pod = await podOf("p");
  const other = await engine.createContainer(pod, containerConfig(named("other")), never);
  const update = (container_id: string, ignore_failure = false): object => ({
    container_id,
    ignore_failure,
    linux: { resources: { cpu: { shares: { value: 33 } } } },
  });
  plugin.answers.CreateContainer = () => ({ update: [update(other)] });
  await engine.createContainer(pod, containerConfig(), never);
  assert.equal(engine.container(other).resources.cpuShares, 33);
  plugin.answers.CreateContainer = () => ({ update: [update("nobody")] });
  await assert.rejects(engine.createContainer(pod, containerConfig(named("d")), never), /nobody.*not found/);
  assert.equal(engine.listContainers({}).length, 2);
  assert.equal(parts.snapshots.size, 2);
  assert.match(plugin.calls.at(-1) ?? "", /^RemoveContainer/);
  plugin.answers.CreateContainer = () => ({ update: [update("nobody", true)] });
  const evicted = await engine.createContainer(pod, containerConfig(named("e")), never);
  await engine.startContainer(evicted, never);
  plugin.answers.CreateContainer = () => ({ evict: [{ container_id: evicted, reason: "room" }] });
  await engine.createContainer(pod, containerConfig(named("f")), never);
  while (engine.container(evicted).state !== "exited") await sleep(5);
});

test("a plugin may change an update, and ask for some by itself", async () => {
  await begin();
  const plugin = await join_("10-limits", {
    UpdateContainer: (message: { container: { id: string } }) => ({
      update: [
        {
          container_id: message.container.id,
          linux: { resources: { cpu: { quota: { value: 5000 } }, pids: { limit: 9 } } },
        },
      ],
    }),
  });
  const pod = await podOf("p");
  const id = await engine.createContainer(pod, containerConfig(), never);
  await engine.updateContainerResources(id, { ...engine.container(id).resources, cpuShares: 12 }, never);
  const { cpuShares, cpuQuotaUs } = engine.container(id).resources;
  assert.deepEqual({ cpuShares, cpuQuotaUs }, { cpuShares: 12, cpuQuotaUs: 5000 });
  assert.deepEqual(specOf(id).linux?.resources?.pids, { limit: 9 });
  const shares = (container_id: string): object => ({
    container_id,
    linux: { resources: { cpu: { shares: { value: 99 } } } },
  });
  const { error, payload } = await plugin.ask("UpdateContainers", "UpdateContainersRequest", {
    update: [shares(id), shares("nobody")],
  });
  assert.equal(error, undefined);
  assert.ok(payload.includes("nobody"));
  assert.ok(!payload.includes(id));
  assert.equal(engine.container(id).resources.cpuShares, 99);
  assert.equal(
    plugin.calls.filter((call) => call.startsWith("UpdateContainer ")).length,
    1,
    "no event of its own",
  );
});

test("a pod's resources are told before and after their change, and a plugin may refuse", async () => {
  await begin();
  const plugin = await join_("10-pods");
  const pod = await podOf("p");
  const resources = { ...NO_RESOURCES, cpuShares: 5 };
  await engine.updatePodSandboxResources(pod, { resources }, never);
  await engine.removePodSandbox(pod, never);
  assert.deepEqual(
    plugin.calls.slice(3).map((call) => call.split(" ")[0]),
    ["UpdatePodSandbox", "PostUpdatePodSandbox", "StopPodSandbox", "RemovePodSandbox"],
  );
  const { pod: shown } = plugin.last.get("PostUpdatePodSandbox") as {
    pod: { linux: { pod_resources: { cpu: { shares: object } } } };
  };
  assert.deepEqual(shown.linux.pod_resources.cpu.shares, { value: "5" });
  const other = await podOf("q");
  plugin.answers.UpdatePodSandbox = () => {
    throw new Error("too much");
  };
  await assert.rejects(engine.updatePodSandboxResources(other, { resources }, never), /"10-pods".*too much/);
  assert.equal(engine.podSandbox(other).resources, undefined);
});

test("a plugin gets what it subscribed to, and an old one gets state changes", async () => {
  await begin();
  const narrow = await join_("10-narrow", { Configure: () => ({ events: 1 << 2 }) });
  const old = await join_("20-old", {
    RunPodSandbox: () => {
      throw new Unimplemented("unimplemented");
    },
  });
  const pod = await podOf("p");
  await engine.removePodSandbox(pod, never);
  assert.deepEqual(narrow.calls.slice(2), [`RemovePodSandbox ${pod}`]);
  assert.ok(old.calls.includes(`StateChange ${pod}`));
  assert.equal((old.last.get("StateChange") as { event: string }).event, "RUN_POD_SANDBOX");
  const greedy = new FakePlugin(socketPath, { Configure: () => ({ events: 1 << 20 }) });
  plugins.push(greedy);
  await greedy.register("30-greedy");
  await greedy.ended();
});

test("a state that is too large for one message comes in several", async () => {
  await begin();
  const pod = await podOf("p");
  const value = "x".repeat(1 << 20);
  for (let index = 0; index < 9; index++)
    await engine.createContainer(
      pod,
      containerConfig({ ...named(`c${index}`), env: [{ key: "BIG", value }] }),
      never,
    );
  const parts_: { containers: object[]; more: boolean }[] = [];
  await join_("10-big", {
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

test("validators refuse, and so does the one that comes with NRI", async () => {
  await begin();
  await join_("10-adjust", { CreateContainer: () => ({ adjust: { args: ["/x"] } }) });
  const judge = await join_("20-judge", {
    ValidateContainerAdjustment: () => ({ reject: true, reason: "not such arguments" }),
  });
  const pod = await podOf("p");
  await assert.rejects(
    engine.createContainer(pod, containerConfig(), never),
    /"20-judge".*not such arguments/,
  );
  const request = judge.last.get("ValidateContainerAdjustment") as {
    adjust: { args: string[] };
    owners: { owners: Record<string, { simple: Record<string, string> }> };
    plugins: object[];
  };
  assert.deepEqual(request.adjust.args, ["/x"]);
  assert.deepEqual(Object.values(request.owners.owners)[0]?.simple, { "7": "10-adjust" });
  assert.deepEqual(request.plugins, [
    { name: "adjust", index: "10" },
    { name: "judge", index: "20" },
  ]);
});
