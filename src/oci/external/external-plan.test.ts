import assert from "node:assert/strict";
import { test } from "node:test";
import { decodePlan } from "../plan-decode.ts";
import { explainPlanError } from "../plan-explain.ts";
import type { Spec } from "../runtime-spec.ts";
import { consolePath, type ExternalMounts, externalExecPlan, externalInitPlan } from "./external-plan.ts";
import { ExternalRuntime } from "./external-runtime.ts";

const runtime = new ExternalRuntime({
  name: "crun",
  binary: "/usr/bin/crun",
  arguments: ["--debug"],
  environment: ["A=b"],
  root: "/r",
  systemdCgroup: true,
  timeoutMs: 1000,
  update: true,
  kill: false,
});
const run = {
  commands: [{ args: ["create", "id"], console: "console" }, { args: ["start", "id"] }],
  directory: "/b",
  log: "/b/log",
  pidFile: "/b/pid",
  terminal: true,
};
const rootfs = {
  type: "overlay" as const,
  lower: ["/l/2", "/l/1"],
  upper: "/a/fs",
  work: "/a/work",
  options: [],
};
const mounts: ExternalMounts = {
  rootfs,
  target: "/b/rootfs",
  directories: ["/data"],
  prepared: [],
  images: new Map([["key", { type: "overlay", lower: ["/l/3"], options: [] }]]),
  label: "",
};
const names = (plan: Uint8Array): string[] => decodePlan(plan).map(({ name }) => name);

test("the root filesystem is mounted where only the runtime sees it, and its commands follow", () => {
  const plan = externalInitPlan(runtime, { ociVersion: "1.0.2" }, mounts, run);
  assert.deepEqual(names(plan), [
    "launch",
    "propagation",
    "rootOverlay",
    "makeDirectory",
    "currentRoot",
    "runtimeCommand",
    "runtimeCommand",
    "adopt",
  ]);
  const command = decodePlan(plan).find(({ name }) => name === "runtimeCommand");
  assert.ok(command?.name === "runtimeCommand");
  assert.deepEqual(command.values.args, [
    "/usr/bin/crun",
    ...["--root", "/r", "--log", "/b/log", "--log-format", "json", "--systemd-cgroup", "--debug"],
    ...["create", "id"],
  ]);
  assert.equal(command.values.console, "console");
  assert.ok(command.values.env.includes("A=b"));
});

test("volumes that propagate to the host stay its peers", () => {
  const spec: Spec = { ociVersion: "1.0.2", linux: { rootfsPropagation: "rshared" } };
  assert.deepEqual(names(externalInitPlan(runtime, spec, mounts, run)).slice(0, 3), [
    "launch",
    "privateMount",
    "rootOverlay",
  ]);
});

test("in a user namespace layers, images and volumes are id-mapped, each once", () => {
  const maps = [{ containerID: 0, hostID: 1000, size: 10 }];
  const spec: Spec = {
    ociVersion: "1.0.2",
    linux: { namespaces: [{ type: "user", path: "/u" }], uidMappings: maps, gidMappings: maps },
  };
  const image = { destination: "/i", type: "image", source: "key", options: ["ro", "subpath=etc"] };
  const volume = { destination: "/v", type: "bind", source: "/s", uidMappings: maps, gidMappings: maps };
  const prepared = [
    { mount: image, path: "/b/mounts/0" },
    { mount: volume, path: "/b/mounts/1" },
  ];
  const plan = decodePlan(externalInitPlan(runtime, spec, { ...mounts, prepared }, run));
  assert.deepEqual(
    plan.map(({ name }) => name),
    [
      "launch",
      "propagation",
      "idMap",
      "prepareBind",
      ...["mapDirectory", "mapDirectory", "mapDirectory"],
      "rootOverlay",
      "currentRoot",
      "attach",
      ...["mapDirectory", "imageVolume", "attach"],
      ...["runtimeCommand", "runtimeCommand", "adopt"],
    ],
  );
  const overlay = plan.find(({ name }) => name === "rootOverlay");
  assert.ok(overlay?.name === "rootOverlay");
  assert.equal(overlay.values.uid, 1000);
});

test("an id-mapped volume without any mapping is refused", () => {
  const mount = { destination: "/v", type: "bind", source: "/s", options: ["idmap"] };
  const prepared = [{ mount, path: "/b/mounts/0" }];
  assert.throws(
    () => externalInitPlan(runtime, { ociVersion: "1.0.2" }, { ...mounts, prepared }, run),
    /mount on \/v: an id-mapped mount needs mappings/,
  );
});

test("a failing command is told by its name", () => {
  const plan = externalExecPlan(runtime, { ...run, commands: [{ args: ["exec", "id"] }] });
  assert.deepEqual(names(plan), ["launch", "runtimeCommand", "adopt"]);
  const said = (operation: number, errno: number, syscall: string, path = "/usr/bin/crun"): string => {
    const { kind, message } = explainPlanError(plan, { operation, errno, syscall, path });
    return `${kind}: ${message}`;
  };
  assert.equal(said(1, 10, "runtime exit 3"), "failed-precondition: crun exec: exit status 3");
  assert.equal(said(1, 10, "runtime signal 9"), "failed-precondition: crun exec: killed by signal 9");
  assert.equal(said(1, 110, "runtime timeout"), "deadline-exceeded: crun exec: not finished after 1 s");
  assert.equal(said(1, 2, "runtime execve"), "failed-precondition: crun exec: /usr/bin/crun: ENOENT");
  assert.equal(
    said(1, 25, "runtime terminal", ""),
    "failed-precondition: crun exec: it has handed over no terminal",
  );
  assert.match(
    said(2, 22, "runtime pid", "/b/pid"),
    /process of the external runtime: runtime pid \/b\/pid: EINVAL/,
  );
});

test("a socket's path is as short as a socket's path must be", () => {
  assert.equal(consolePath("/b", "console"), "/b/console");
  assert.equal(consolePath(`/${"b".repeat(100)}`, "console"), "console");
});
