import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { ExternalRuntime } from "../oci/external/external-runtime.ts";
import { decodePlan } from "../oci/plan-decode.ts";
import { planOf } from "../shim/shim.ts";
import { createEngine } from "./create-engine.ts";
import type { Engine } from "./engine.ts";
import { fakeExec, FakeParts } from "./fake-parts.ts";
import type { PodSandboxConfig } from "./pod-sandbox.ts";
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

async function running(config = containerConfig()): Promise<{ pod: string; id: string }> {
  const pod = await engine.runPodSandbox(podConfig(), "", never);
  const id = await engine.createContainer(pod, config, never);
  await engine.startContainer(id, never);
  return { pod, id };
}

async function exited(id: string): Promise<void> {
  for (let n = 0; engine.container(id).state !== "exited"; n++) {
    if (n > 1000) throw new Error("did not exit");
    await turn();
  }
}

test("a pod: namespaces, shared memory, network, and their release in the end", async () => {
  const id = await engine.runPodSandbox(podConfig(), "", never);
  assert.deepEqual(parts.asked, ["pin net,ipc,uts", "mount shm", "network setup"]);
  assert.deepEqual(engine.podSandbox(id.slice(0, 12)).ips, ["10.0.0.2"]);
  parts.asked.length = 0;
  await engine.stopPodSandbox(id, never);
  await engine.stopPodSandbox(id, never);
  assert.deepEqual(
    parts.asked,
    ["network teardown", "discard shim", "unmount", "unpin"],
    "the second stop finds nothing to do",
  );
  assert.equal(engine.podSandbox(id).state, "notready");
  await engine.removePodSandbox(id, never);
  await engine.removePodSandbox(id, never);
  assert.throws(() => engine.podSandbox(id), { kind: "not-found" });
  assert.equal(existsSync(`${parts.directory}/pods/${id}`), false);
});

test("sysctls of an interface are written when the network has made it", async () => {
  await engine.runPodSandbox(podConfig({ sysctls: { "net.ipv4.conf.eth0.rp_filter": "0" } }), "", never);
  assert.deepEqual(parts.asked, ["pin net,ipc,uts", "mount shm", "network setup", "write network sysctls"]);
});

test("a network that cannot be taken back from a failed pod is told that nobody else will", async () => {
  const failure = Promise.reject<void>(new Error("told to fail"));
  failure.catch(() => undefined);
  parts.pause = { step: "write network sysctls", until: failure };
  parts.failAt = "network teardown";
  const config = podConfig({ sysctls: { "net.ipv4.conf.eth0.rp_filter": "0" } });
  await assert.rejects(engine.runPodSandbox(config, "", never), /told to fail/);
  assert.deepEqual(parts.asked.slice(4), ["network teardown", "network abandon", "unmount", "unpin"]);
});

test("a pod on the host's network and IPC has no namespaces of its own", async () => {
  const namespaces = { network: "node", pid: "node", ipc: "node", targetId: "" } as const;
  await engine.runPodSandbox(podConfig({ namespaces }), "", never);
  assert.deepEqual(parts.asked, []);
});

test("the same request again, under way or done, gives the same pod; another of its name does not", async () => {
  const gate = Promise.withResolvers<void>();
  parts.pause = { step: "network setup", until: gate.promise };
  const both = [engine.runPodSandbox(podConfig(), "", never), engine.runPodSandbox(podConfig(), "", never)];
  await turn();
  gate.resolve();
  const [first, second] = await Promise.all(both);
  assert.equal(first, second);
  assert.equal(await engine.runPodSandbox(podConfig(), "", never), first);
  await assert.rejects(engine.runPodSandbox(podConfig({ hostname: "other" }), "", never), {
    kind: "already-exists",
  });
  assert.equal(engine.listPodSandboxes({}).length, 1);
});

for (const step of ["pin net,ipc,uts", "mount shm", "network setup"]) {
  test(`a pod whose "${step}" fails leaves nothing, and can be tried again`, async () => {
    parts.failAt = step;
    await assert.rejects(engine.runPodSandbox(podConfig(), "", never), { kind: "unavailable" });
    assert.deepEqual(engine.listPodSandboxes({}), []);
    assert.equal(parts.pinned.size, 0);
    assert.deepEqual(readdirSync(join(parts.directory, "pods")), []);
    await engine.runPodSandbox(podConfig(), "", never);
  });
}

test("a pod whose files fail while its namespaces are still being made leaves none of either", async () => {
  const gate = Promise.withResolvers<void>();
  parts.pause = { step: "pin net,ipc,uts", until: gate.promise };
  const failed = assert.rejects(engine.runPodSandbox(podConfig(), "", never), /ENOENT/);
  while (parts.asked.length === 0) await turn();
  rmSync(join(parts.directory, "pods"), { recursive: true });
  for (let n = 0; n < 100; n++) await turn();
  gate.resolve();
  await failed;
  assert.equal(parts.pinned.size, 0);
  assert.deepEqual(parts.asked, ["pin net,ipc,uts", "unpin"]);
});

test("a caller that goes away takes its half-made pod with it", async () => {
  const gate = Promise.withResolvers<void>();
  parts.pause = { step: "network setup", until: gate.promise };
  const caller = new AbortController();
  const call = engine.runPodSandbox(podConfig(), "", caller.signal);
  while (!parts.asked.includes("network setup")) await turn();
  caller.abort();
  gate.resolve();
  await assert.rejects(call);
  while (!parts.asked.includes("unpin")) await turn();
  assert.deepEqual(engine.listPodSandboxes({}), []);
});

test("bad pods are refused before anything is made", async () => {
  const bad: [Partial<PodSandboxConfig>, string][] = [
    [{ cgroupParent: "/a/../b" }, "invalid-argument"],
    [{ logDirectory: "/var/../etc" }, "invalid-argument"],
    [{ sysctls: { "kernel.core_pattern": "x" } }, "invalid-argument"],
    [{ hostname: "h".repeat(65) }, "invalid-argument"],
  ];
  for (const [more, kind] of bad)
    await assert.rejects(engine.runPodSandbox(podConfig(more), "", never), { kind });
  await assert.rejects(engine.runPodSandbox(podConfig(), "nope", never), { kind: "not-found" });
  assert.deepEqual(parts.asked, []);
});

test("a container's life: created, running, exited with its code, removed", async () => {
  const { id } = await running();
  const found = engine.container(id);
  assert.deepEqual([found.state, found.stopSignal, found.user.uid], ["running", "SIGINT", 1000]);
  parts.shims.get(id)?.exits({ exitCode: 3, exitedAtNs: 77n });
  await exited(id);
  assert.deepEqual([found.exitCode, found.reason, found.finishedAtNs], [3, "Error", 77n]);
  await engine.removeContainer(id, never);
  await engine.removeContainer(id, never);
  assert.equal(parts.snapshots.size, 0);
  assert.ok(parts.asked.includes("delete shim") && parts.asked.includes("remove cgroup"));
});

test("a start that is repeated finds the container running", async () => {
  const { id } = await running();
  await engine.startContainer(id, never);
  assert.equal(parts.asked.filter((step) => step === "shim start").length, 1);
});

test("a runtime that hangs over the bundle of a gone container keeps nobody waiting", async () => {
  const other = new FakeParts();
  const options = other.options();
  const id = "b".repeat(64);
  const root = join(other.directory, "runtime");
  for (const path of [join(root, id), join(options.stateDirectory, "bundles", id)])
    mkdirSync(path, { recursive: true });
  const asked: string[] = [];
  const external = {
    options: { root },
    delete: (gone: string) => {
      asked.push(gone);
      return new Promise<void>(() => undefined);
    },
  } as unknown as ExternalRuntime;
  const handler = { name: "", recursiveReadOnlyMounts: true, userNamespaces: true, external };
  const started = await createEngine({ ...options, handlers: [handler] });
  assert.deepEqual(asked, [id]);
  await started.close();
  other.remove();
});

test("a start that fails when the process is there ends its shim", async () => {
  const pod = await engine.runPodSandbox(podConfig(), "", never);
  const id = await engine.createContainer(pod, containerConfig(), never);
  parts.failAt = "enter cgroup";
  await assert.rejects(engine.startContainer(id, never));
  assert.ok(!parts.shims.has(id));
  assert.deepEqual(parts.asked.slice(-3), ["enter cgroup", "discard shim", "remove cgroup"]);
});

test("a start that fails in an external runtime removes the control group that it may have made", async () => {
  const options = parts.options();
  const external = new ExternalRuntime({
    ...{ name: "other", binary: "/bin/true", root: join(parts.directory, "runtime"), arguments: [] },
    ...{ environment: [], systemdCgroup: false, timeoutMs: 1000, update: false, kill: false },
  });
  external.delete = () => {
    parts.asked.push("delete in the runtime");
    return Promise.resolve();
  };
  const handler = { name: "", recursiveReadOnlyMounts: true, userNamespaces: true, external };
  const other = await createEngine({ ...options, handlers: [handler] });
  const pod = await other.runPodSandbox(podConfig(), "", never);
  const id = await other.createContainer(pod, containerConfig(), never);
  parts.failAt = "shim start";
  await assert.rejects(other.startContainer(id, never), { kind: "unavailable" });
  assert.deepEqual(parts.asked.slice(-3), ["shim start", "delete in the runtime", "remove cgroup"]);
  await other.close();
});

test("a failed start leaves an exited container with the reason StartError", async () => {
  const pod = await engine.runPodSandbox(podConfig(), "", never);
  const id = await engine.createContainer(pod, containerConfig(), never);
  parts.failAt = "shim start";
  await assert.rejects(engine.startContainer(id, never), { kind: "unavailable" });
  const { state, reason, exitCode, message } = engine.container(id);
  assert.deepEqual([state, reason, exitCode], ["exited", "StartError", 128]);
  assert.match(message, /shim start/);
  assert.ok(parts.asked.includes("remove cgroup"));
  await assert.rejects(engine.startContainer(id, never), { kind: "failed-precondition" });
});

test("stop sends the signal, then kills; a shorter stop overtakes a longer one", async () => {
  const { id } = await running();
  const patient = engine.stopContainer(id, 3_600_000, never);
  await turn();
  await engine.stopContainer(id, 5, never);
  await patient;
  assert.deepEqual(
    parts.asked.filter((step) => step.startsWith("kill")),
    ["kill 2", "kill 9"],
  );
  assert.equal(engine.container(id).exitCode, 137);
});

test("stop with no grace period kills at once", async () => {
  const { id } = await running();
  await engine.stopContainer(id, 0, never);
  assert.deepEqual(
    parts.asked.filter((step) => step.startsWith("kill")),
    ["kill 9"],
  );
});

test("a caller of stop that goes away does not wait, and the container still ends", async () => {
  const { id } = await running();
  const caller = new AbortController();
  const call = engine.stopContainer(id, 3_600_000, caller.signal);
  await turn();
  caller.abort(new Error("gone"));
  await assert.rejects(call, /gone/);
  parts.shims.get(id)?.exits({});
  await exited(id);
});

test("out of memory is the reason only of a container that it ended", async () => {
  const { id } = await running();
  parts.shims.get(id)?.exits({ exitCode: 137, signal: 9, oomKilled: true });
  await exited(id);
  assert.equal(engine.container(id).reason, "OOMKilled");
});

test("stopping a pod kills its containers; nothing is created in it after", async () => {
  const { pod, id } = await running();
  await engine.stopPodSandbox(pod, never);
  assert.equal(engine.container(id).state, "exited");
  const another = containerConfig({ metadata: { name: "d", attempt: 0 } });
  await assert.rejects(engine.createContainer(pod, another, never), { kind: "failed-precondition" });
  await engine.removePodSandbox(pod, never);
  assert.deepEqual(engine.listContainers({}), []);
});

test("the timeout of an exec is told once the command is gone", async () => {
  const { id } = await running();
  const shim = parts.shims.get(id);
  assert.ok(shim);
  const steps: string[] = [];
  const exit = Promise.withResolvers<{ exitCode: number; signal: number }>();
  const exec = {
    ...fakeExec("", 0),
    wait: () => exit.promise,
    kill: async (signal: number) => {
      steps.push(`kill ${signal}`);
      setImmediate(() => {
        steps.push("reaped");
        exit.resolve({ exitCode: 137, signal: 9 });
      });
    },
    close: () => void steps.push("close"),
  };
  shim.exec = () => Promise.resolve(exec);
  await assert.rejects(engine.execSync(id, ["sleep"], 1, never), { kind: "deadline-exceeded" });
  assert.deepEqual(steps, ["kill 9", "reaped", "close"]);
});

test("no container ends before it started, though its shim may have seen its end first", async () => {
  const { id } = await running();
  const { startedAtNs } = engine.container(id);
  parts.shims.get(id)?.exits({ exitedAtNs: startedAtNs - 1n });
  await exited(id);
  assert.equal(engine.container(id).finishedAtNs, startedAtNs);
});

test("exec gives output and code, and is refused unless the container runs", async () => {
  const { id } = await running();
  const shim = parts.shims.get(id);
  assert.ok(shim);
  shim.exec = () => Promise.resolve(fakeExec("hi", 4));
  const { stdout, exitCode } = await engine.execSync(id, ["x"], 0, never);
  assert.deepEqual([Buffer.from(stdout).toString(), exitCode], ["hi", 4]);
  shim.exits({});
  await exited(id);
  await assert.rejects(engine.execSync(id, ["x"], 0, never), { kind: "failed-precondition" });
});

test("an engine made anew on the same state finds pods and containers, and their exits", async () => {
  const { pod, id } = await running();
  await engine.close();
  engine = await createEngine(parts.options());
  assert.equal(engine.podSandbox(pod).state, "ready");
  assert.equal(engine.container(id).state, "running");
  parts.shims.get(id)?.exits({ exitCode: 42, exitedAtNs: 99n });
  await exited(id);
  assert.deepEqual([engine.container(id).exitCode, engine.container(id).finishedAtNs], [42, 99n]);
  await engine.removePodSandbox(pod, never);
});

test("after a reboot pods are not ready and containers have exited, and what no record names is deleted", async () => {
  const { pod, id } = await running();
  await engine.close();
  parts.shims.clear();
  parts.pinned.clear();
  parts.snapshots.add("f".repeat(64));
  engine = await createEngine(parts.options());
  assert.equal(engine.podSandbox(pod).state, "notready");
  const { state, exitCode, reason } = engine.container(id);
  assert.deepEqual([state, exitCode, reason], ["exited", 255, "Unknown"]);
  assert.deepEqual([...parts.snapshots], [id]);
});

test("a container whose shim does not answer is unknown, keeps nobody from starting, and can be stopped", async () => {
  const { pod, id } = await running();
  await engine.close();
  parts.stuck = true;
  engine = await createEngine(parts.options());
  assert.equal(engine.container(id).state, "unknown");
  assert.equal(engine.podSandbox(pod).state, "ready");
  await engine.stopContainer(id, 1000, never);
  const { state, exitCode, reason } = engine.container(id);
  assert.deepEqual([state, exitCode, reason], ["exited", 255, "Unknown"]);
  await engine.removePodSandbox(pod, never);
});

test("a container that was launched before the daemon could say so is found running", async () => {
  const { pod, id } = await running();
  const { state: _running, ...created } = engine.container(id);
  await engine.close();
  const options = parts.options();
  const table = options.store.table<object>("containers");
  table.put(id, { ...table.get(id), state: "created", startedAtNs: "0" });
  engine = await createEngine(options);
  const found = engine.container(id);
  assert.deepEqual([found.state, found.startedAtNs, found.config], ["running", 3n, created.config]);
  await engine.startContainer(id, never);
  await engine.removePodSandbox(pod, never);
});

test("lists are filtered by prefix, state, pod and labels", async () => {
  const { pod, id } = await running(containerConfig({ labels: { tier: "front" } }));
  const count = (filter: Parameters<Engine["listContainers"]>[0]): number =>
    engine.listContainers(filter).length;
  assert.equal(
    count({ id: id.slice(0, 8), state: "running", podSandboxId: pod.slice(0, 8), labels: { tier: "front" } }),
    1,
  );
  assert.equal(count({ labels: { tier: "back" } }), 0);
  assert.equal(count({ state: "exited" }), 0);
  assert.equal(count({ podSandboxId: "0".repeat(64) }), 0);
  assert.equal(engine.listPodSandboxes({ state: "notready" }).length, 0);
});

test("every process is given its OOM score: the shim that launches it has lowered its own", async () => {
  const plans: Uint8Array[] = [];
  const options = parts.options();
  const { shims } = options;
  const start = shims.start.bind(shims);
  shims.start = async (request, signal) => {
    const plan = await planOf(request);
    plans.push(plan);
    return start({ ...request, plan }, signal);
  };
  const watched = await createEngine(options);
  const config = podConfig({
    namespaces: { network: "pod", pid: "pod", ipc: "pod", targetId: "" },
  });
  const pod = await watched.runPodSandbox(config, "", never);
  const id = await watched.createContainer(pod, containerConfig(), never);
  await watched.startContainer(id, never);
  const shim = parts.shims.get(id);
  assert.ok(shim);
  shim.exec = ({ plan }) => {
    plans.push(plan);
    return Promise.resolve(fakeExec("", 0));
  };
  await watched.execSync(id, ["x"], 0, never);
  await watched.close();
  assert.equal(plans.length, 3);
  for (const plan of plans)
    assert.ok(decodePlan(plan).some(({ name }) => name === "oomScore" || name === "parentOomScore"));
});

test("the node's pod addresses go to the network, and wrong ones nowhere", async () => {
  await engine.setPodCidrs("");
  await engine.setPodCidrs("10.1.2.3/24, fd00:2::/64");
  assert.deepEqual(parts.asked, ["pod CIDRs 10.1.2.0/24 fd00:2::/64"]);
  for (const text of [
    "10.1.2.0",
    "10.1.2.0/33",
    "x/24",
    ",",
    "10.1.2.0/24,",
    "10.1.2.0/24,10.2.0.0/24",
    "::/129",
  ])
    await assert.rejects(engine.setPodCidrs(text), { kind: "invalid-argument" }, text);
  assert.equal(parts.asked.length, 1);
});

test("a network that says it is not ready is asked all the same: it knows what it can do", async () => {
  const options = parts.options();
  options.network.status = () => ({ ready: false, reason: "NotReady", message: "some plugin is not" });
  const other = await createEngine(options);
  await other.runPodSandbox(podConfig(), "", never);
  assert.ok(parts.asked.includes("network setup"));
  await other.close();
});
