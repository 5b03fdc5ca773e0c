/** What plugins change and refuse, against the engine on fake parts. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { GantryError } from "../base/errors.ts";
import { NO_RESOURCES } from "../engine/resources.ts";
import { containerConfig } from "../engine/sample-config.ts";
import type { FakePlugin } from "./fake-plugin.ts";
import { named, never, NriSetting } from "./fake-nri-setting.ts";

let setting: NriSetting | undefined;

async function begin(): Promise<NriSetting> {
  return (setting = await NriSetting.begin());
}
afterEach(() => setting?.end());

test("adjustments are in the configuration before it is stored, and each plugin sees those before it", async () => {
  const nri = await begin();
  const { engine } = nri;
  const pod = await nri.pod("p");
  const group = `/test/${pod}`;
  await nri.join("10-one", {
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
          cgroups_path: `${group}/c`,
          sysctl: { "net.ipv4.ip_forward": "1" },
          io_priority: { class: "IOPRIO_CLASS_BE", priority: 3 },
          scheduler: { policy: "SCHED_BATCH", nice: 5 },
        },
      },
    }),
  });
  const two = await nri.join("20-two", {
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
  const id = await engine.createContainer(pod, containerConfig(), never);
  const spec = nri.spec(id);
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
  assert.equal(engine.verboseContainer(id)["cgroupPath"], `${group}/c`);
  assert.equal(engine.container(id).resources.cpuShares, 77);
  const seen = two.last.get("CreateContainer") as {
    container: { env: string[]; linux: { cgroups_path: string } };
  };
  assert.ok(seen.container.env.includes("ONE=1"));
  assert.equal(seen.container.linux.cgroups_path, `${group}/c`);
});

test("scheduling, memory, classes and network interfaces, shown to the next plugin and taken back by it", async () => {
  const nri = await begin();
  const { engine } = nri;
  const rdt = {
    clos_id: { value: "gold" },
    schemata: { value: ["MB:0=10"] },
    enable_monitoring: { value: true },
  };
  await nri.join("10-one", {
    CreateContainer: () => ({
      adjust: {
        linux: {
          scheduler: { policy: "SCHED_DEADLINE", runtime: "1", deadline: "9007199254740993", period: "3" },
          io_priority: { class: "IOPRIO_CLASS_RT", priority: 1 },
          memory_policy: { mode: "MPOL_INTERLEAVE", nodes: "0-1", flags: ["MPOL_F_STATIC_NODES"] },
          net_devices: { eth7: { name: "net0" }, eth8: {} },
          rdt,
        },
      },
    }),
  });
  const two = await nri.join("20-two");
  const pod = await nri.pod("p");
  const id = await engine.createContainer(pod, containerConfig(), never);
  const { process, linux } = nri.spec(id);
  assert.deepEqual(process?.scheduler, {
    policy: "SCHED_DEADLINE",
    nice: 0,
    priority: 0,
    flags: [],
    runtime: 1,
    deadline: 9007199254740993n,
    period: 3,
  });
  assert.deepEqual(process?.ioPriority, { class: "IOPRIO_CLASS_RT", priority: 1 });
  assert.deepEqual(linux?.memoryPolicy, {
    mode: "MPOL_INTERLEAVE",
    nodes: "0-1",
    flags: ["MPOL_F_STATIC_NODES"],
  });
  assert.deepEqual(linux?.netDevices, { eth7: { name: "net0" }, eth8: {} });
  assert.deepEqual(linux?.intelRdt, { closID: "gold", schemata: ["MB:0=10"], enableMonitoring: true });
  const { container: seen } = two.last.get("CreateContainer") as {
    container: { linux: Record<string, object> };
  };
  assert.deepEqual(seen.linux["rdt"], { ...rdt, remove: false });
  assert.deepEqual(seen.linux["net_devices"], { eth7: { name: "net0" }, eth8: { name: "" } });
  assert.deepEqual(seen.linux["io_priority"], { class: "IOPRIO_CLASS_RT", priority: 1 });
  assert.equal((seen.linux["scheduler"] as { deadline: string }).deadline, "9007199254740993");

  two.answers.CreateContainer = () => ({ adjust: { linux: { rdt: { clos_id: { value: "lead" } } } } });
  await assert.rejects(
    engine.createContainer(pod, containerConfig(named("b")), never),
    /both tried to set RdtClosID/,
  );
  two.answers.CreateContainer = () => ({
    adjust: {
      linux: { rdt: { remove: true }, net_devices: { "-eth7": {}, "-eth8": {}, eth9: { name: "net%d" } } },
    },
  });
  const other = nri.spec(await engine.createContainer(pod, containerConfig(named("d")), never));
  assert.equal(other.linux?.intelRdt, undefined);
  assert.deepEqual(other.linux?.netDevices, { eth9: { name: "net%d" } });
});

test("two plugins that set the same are refused by name, unless the later one removes first", async () => {
  const nri = await begin();
  const { engine } = nri;
  const set = (value: string): object => ({ adjust: { env: [{ key: "X", value }] } });
  const second: FakePlugin = await nri.join("20-b", { CreateContainer: () => set("2") });
  await nri.join("10-a", { CreateContainer: () => set("1") });
  const pod = await nri.pod("p");
  await assert.rejects(
    engine.createContainer(pod, containerConfig(), never),
    /plugins "20-b" and "10-a" both tried to set Env X/,
  );
  second.answers.CreateContainer = () => ({ adjust: { env: [{ key: "-X" }, { key: "X", value: "2" }] } });
  const id = await engine.createContainer(pod, containerConfig(), never);
  assert.ok(nri.spec(id).process?.env?.includes("X=2"));
});

test("what cannot run is refused when the container is created", async () => {
  const nri = await begin();
  const { engine, parts } = nri;
  const plugin = await nri.join("10-wild");
  const pod = await nri.pod("p");
  const wild: Record<string, object> = {
    "kernel.panic": { linux: { sysctl: { "kernel.panic": "1" } } },
    "not a group in its pod's": { linux: { cgroups_path: "/a/../../b" } },
    oomScoreAdj: { linux: { oom_score_adj: { value: 5000 } } },
    "network interface": { linux: { net_devices: { "eth 7": { name: "x" } } } },
    "two lines|one line": { linux: { rdt: { schemata: { value: ["L3:0=f\nMB:0=10"] } } } },
    "memory nodes": { linux: { memory_policy: { mode: "MPOL_BIND", nodes: "3-1" } } },
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

test("updates of other containers are made; one that fails takes the new container back", async () => {
  const nri = await begin();
  const { engine, parts } = nri;
  const plugin = await nri.join("10-balance");
  const pod = await nri.pod("p");
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
  const nri = await begin();
  const { engine } = nri;
  const plugin = await nri.join("10-limits", {
    UpdateContainer: (message: { container: { id: string } }) => ({
      update: [
        {
          container_id: message.container.id,
          linux: { resources: { cpu: { quota: { value: 5000 } }, pids: { limit: 9 } } },
        },
      ],
    }),
  });
  const pod = await nri.pod("p");
  const id = await engine.createContainer(pod, containerConfig(), never);
  await engine.updateContainerResources(id, { ...engine.container(id).resources, cpuShares: 12 }, never);
  const { cpuShares, cpuQuotaUs } = engine.container(id).resources;
  assert.deepEqual({ cpuShares, cpuQuotaUs }, { cpuShares: 12, cpuQuotaUs: 5000 });
  assert.deepEqual(nri.spec(id).linux?.resources?.pids, { limit: 9 });
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
  const nri = await begin();
  const { engine } = nri;
  const plugin = await nri.join("10-pods");
  const pod = await nri.pod("p");
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
  const other = await nri.pod("q");
  plugin.answers.UpdatePodSandbox = () => {
    throw new Error("too much");
  };
  await assert.rejects(engine.updatePodSandboxResources(other, { resources }, never), /"10-pods".*too much/);
  assert.equal(engine.podSandbox(other).resources, undefined);
});

test("validators refuse, and so does the one that comes with NRI", async () => {
  const nri = await begin();
  const { engine } = nri;
  await nri.join("10-adjust", { CreateContainer: () => ({ adjust: { args: ["/x"] } }) });
  const judge = await nri.join("20-judge", {
    ValidateContainerAdjustment: () => ({ reject: true, reason: "not such arguments" }),
  });
  const pod = await nri.pod("p");
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
