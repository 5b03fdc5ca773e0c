import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import type { ContainerConfig } from "./container.ts";
import { createEngine } from "./create-engine.ts";
import type { Engine } from "./engine.ts";
import { FakeParts } from "./fake-parts.ts";
import type { NamespaceOptions } from "./pod-sandbox.ts";
import { checkIdMappings, podIdMaps, podRoot } from "./pod-user-namespace.ts";
import { containerConfig, podConfig } from "./sample-config.ts";

const never = new AbortController().signal;
/** To ourselves, so that files can be given to them without being root. */
const uids = [{ containerId: 0, hostId: process.getuid?.() ?? 0, length: 2000 }];
const gids = [{ containerId: 0, hostId: process.getgid?.() ?? 0, length: 2000 }];
const user = { mode: "pod" as const, uids, gids };
const pod = (more: Partial<NamespaceOptions> = {}) => {
  const config = podConfig();
  return { ...config, namespaces: { ...config.namespaces, user, ...more } };
};
const container = (namespaces?: Partial<NamespaceOptions>, more: Partial<ContainerConfig> = {}) => {
  const config = containerConfig();
  const own = namespaces && { namespaces: { ...pod().namespaces, ...namespaces } };
  return { ...config, ...more, security: { ...config.security, ...own } };
};

let parts: FakeParts;
let engine: Engine;

beforeEach(async () => {
  parts = new FakeParts();
  const handlers = [
    { name: "", recursiveReadOnlyMounts: true, userNamespaces: true },
    { name: "old", recursiveReadOnlyMounts: true, userNamespaces: false },
  ];
  engine = await createEngine({ ...parts.options(), handlers });
});
afterEach(async () => {
  await engine.close();
  parts.remove();
});

test("the pod's namespaces are made with it, and containers join it", async () => {
  const id = await engine.runPodSandbox(pod(), "", never);
  assert.equal(parts.asked[0], "pin net,ipc,uts,user");
  const made = await engine.createContainer(id, container(), never);
  const spec = engine.verboseContainer(made)["runtimeSpec"] as {
    linux: { namespaces: { type: string; path?: string }[]; uidMappings: object[] };
  };
  assert.match(spec.linux.namespaces.find(({ type }) => type === "user")?.path ?? "", /\/ns\/user$/);
  assert.deepEqual(spec.linux.uidMappings, [{ containerID: 0, hostID: uids[0]?.hostId, size: 2000 }]);
});

test("a handler without user namespaces refuses them", async () => {
  await assert.rejects(engine.runPodSandbox(pod(), "old", never), {
    kind: "failed-precondition",
    message: /"old" has no user namespaces on this host/,
  });
  assert.deepEqual(parts.asked, []);
});

test("a pod whose user namespace is no longer pinned is not ready", async () => {
  const id = await engine.runPodSandbox(pod({ pid: "container" }), "", never);
  await engine.close();
  engine = await createEngine(parts.options());
  assert.equal(engine.podSandbox(id).state, "ready");
  await engine.close();
  for (const path of parts.pinned) if (path.endsWith("/user")) parts.pinned.delete(path);
  engine = await createEngine(parts.options());
  assert.equal(engine.podSandbox(id).state, "notready");
});

test("what a user namespace does not go with", async () => {
  for (const namespaces of [{ pid: "node" }, { ipc: "node" }] as const)
    await assert.rejects(engine.runPodSandbox(pod(namespaces), "", never), { kind: "invalid-argument" });
  const id = await engine.runPodSandbox(pod({ network: "node" }), "", never);
  const [mapping] = uids;
  assert.ok(mapping);
  const other = { ...user, uids: [{ ...mapping, length: 100 }] };
  const mount = {
    containerPath: "/v",
    hostPath: "/tmp",
    readonly: false,
    selinuxRelabel: false,
    propagation: "private" as const,
    uidMappings: [],
    gidMappings: [],
    recursiveReadOnly: false,
    imageSubPath: "",
    mountOptions: [],
  };
  const refused: [ContainerConfig, RegExp][] = [
    [container({ user: other }), /is not that of its pod/],
    [container({ user: { mode: "node", uids: [], gids: [] } }), /is not that of its pod/],
    [container({ pid: "node" }), /not with the host's pid/],
    [container({}, { mounts: [{ ...mount, propagation: "bidirectional" }] }), /cannot propagate/],
    [container({}, { mounts: [{ ...mount, uidMappings: uids }] }), /gid mappings are missing/],
  ];
  for (const [config, message] of refused)
    await assert.rejects(engine.createContainer(id, config, never), { kind: "invalid-argument", message });
  const config = container();
  const stranger = { ...config, security: { ...config.security, runAsUser: 2000 } };
  await assert.rejects(engine.createContainer(id, stranger, never), {
    kind: "invalid-argument",
    message: /user 2000 is not mapped/,
  });
});

test("mappings are ranges that do not overlap", () => {
  const check = (...ranges: [containerId: number, hostId: number, length: number][]): void =>
    checkIdMappings(
      ranges.map(([containerId, hostId, length]) => ({ containerId, hostId, length })),
      "these",
    );
  check([0, 1000, 10]);
  check([0, 1000, 10], [10, 500, 500]);
  check([0, 0, 2 ** 32 - 1]);
  for (const bad of [
    [[0, 1000, 0]],
    [[0, -1, 5]],
    [[0, 2 ** 32 - 5, 5]],
    [[0.5, 0, 5]],
    [
      [0, 1000, 10],
      [9, 5000, 10],
    ],
    [
      [0, 1000, 10],
      [100, 1009, 10],
    ],
  ] as [number, number, number][][])
    assert.throws(
      () => check(...bad),
      { kind: "invalid-argument", message: /^these: / },
      JSON.stringify(bad),
    );
  assert.throws(() => check(), { kind: "invalid-argument", message: "these are missing" });
});

test("a pod in the host's user namespace has no maps", () => {
  const { namespaces } = podConfig();
  assert.equal(podIdMaps(namespaces), undefined);
  assert.equal(podRoot({ ...namespaces, user: { ...user, mode: "node" } }), undefined);
  assert.deepEqual(podRoot({ ...namespaces, user }), { uid: uids[0]?.hostId, gid: gids[0]?.hostId });
});
