/** Labels as they reach files and plans, on a host that seems to have SELinux. Needs root, for the attribute. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { decodePlan } from "../oci/plan-decode.ts";
import { Selinux } from "../oci/selinux.ts";
import { planOf } from "../shim/shim.ts";
import type { ContainerMount } from "./container.ts";
import { createEngine } from "./create-engine.ts";
import { FakeParts } from "./fake-parts.ts";
import { podPaths } from "./pod-paths.ts";
import { containerConfig, podConfig } from "./sample-config.ts";

const never = new AbortController().signal;

function labelOf(path: string): string {
  const args = ["--absolute-names", "-h", "--only-values", "-n", "security.selinux", path];
  return execFileSync("getfattr", args, { stdio: ["ignore", "pipe", "ignore"] }).toString();
}

function mount(hostPath: string, more: Partial<ContainerMount> = {}): ContainerMount {
  return {
    containerPath: `/c${hostPath}`,
    hostPath,
    readonly: false,
    selinuxRelabel: true,
    propagation: "private",
    uidMappings: [],
    gidMappings: [],
    recursiveReadOnly: false,
    imageSubPath: "",
    mountOptions: [],
    ...more,
  };
}

test("sources that ask for it and the pod's files are relabelled, the process and its filesystems labelled", async (t) => {
  const parts = new FakeParts();
  t.after(() => parts.remove());
  const path = (name: string): string => join(parts.directory, name);
  for (const name of ["data/deep", "other"]) mkdirSync(path(name), { recursive: true });
  symlinkSync(path("other"), path("data/link"));
  for (const name of ["context", "current"]) writeFileSync(path(name), "u:r:t:s0");
  const selinux = new Selinux({
    selinuxfs: parts.directory,
    configuration: parts.directory,
    current: path("current"),
  });
  let plan: Uint8Array = new Uint8Array();
  const options = parts.options();
  const { shims } = options;
  const engine = await createEngine({
    ...options,
    selinux,
    shims: {
      ...shims,
      start: async (request, signal) => {
        plan = await planOf(request);
        return shims.start({ ...request, plan }, signal);
      },
    },
  });
  t.after(() => engine.close());
  const pod = await engine.runPodSandbox(podConfig(), "", never);
  const mounts = [mount(path("data")), mount(path("other"), { selinuxRelabel: false })];
  const id = await engine.createContainer(pod, containerConfig({ mounts }), never);
  const level = engine.podSandbox(pod).selinuxLevel;
  const label = `system_u:object_r:container_file_t:${level}`;
  for (const name of ["data", "data/deep", "data/link"]) assert.equal(labelOf(path(name)), label, name);
  assert.throws(() => labelOf(path("other")));
  const { hosts, hostname, resolvConf } = podPaths(parts.directory, pod);
  for (const file of [hosts, hostname, resolvConf]) assert.equal(labelOf(file), label, file);
  await engine.startContainer(id, never);
  const operations = decodePlan(plan);
  const labels = operations.filter(({ name }) => name === "securityLabel").map(({ values }) => values);
  assert.deepEqual(labels, [{ attribute: "exec", label: `system_u:system_r:container_t:${level}` }]);
  const filesystems = operations.filter(({ name }) => name === "mount").map(({ values }) => values);
  const labelled = filesystems.filter((values) =>
    JSON.stringify(values, noBigInt).includes(`context=${label}`),
  );
  assert.deepEqual(labelled.length, 2, "/dev and /dev/pts");
  const system = containerConfig({ metadata: { name: "system", attempt: 0 }, mounts: [mount("/etc")] });
  await assert.rejects(engine.createContainer(pod, system, never), /relabel \/etc: it is the system's/);
});

function noBigInt(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}
