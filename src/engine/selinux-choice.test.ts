import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { Selinux } from "../oci/selinux.ts";
import type { EngineContext } from "./engine-context.ts";
import type { PodSandbox } from "./pod-sandbox.ts";
import type { SelinuxLabel } from "./security.ts";
import { newSelinuxLevel, relabel, selinuxChoice } from "./selinux-choice.ts";

let root = "";

/** A host with a policy of its own, or with none loaded. */
function host(current = "system_u:system_r:unconfined_t:s0"): Selinux {
  writeFileSync(join(root, "current"), `${current}\0`);
  return new Selinux({ selinuxfs: root, configuration: root, current: join(root, "current") });
}

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "gantry-selinux-"));
  writeFileSync(join(root, "context"), "");
});
afterEach(() => rmSync(root, { recursive: true }));

const pod = (selinuxLevel?: string, selinux?: SelinuxLabel): PodSandbox =>
  ({ config: selinux ? { selinux } : {}, ...(selinuxLevel && { selinuxLevel }) }) as PodSandbox;
const label = (part: Partial<SelinuxLabel>): SelinuxLabel => ({
  user: "",
  role: "",
  type: "",
  level: "",
  ...part,
});
const choose = (selinux: Selinux, asked?: SelinuxLabel, privileged = false, sandbox = pod("s0:c3,c7")) =>
  selinuxChoice({ selinux }, { privileged, ...(asked && { selinux: asked }) }, sandbox);

test("without SELinux there are no labels, whatever is asked for", async () => {
  assert.equal(await choose(host("kernel"), label({ type: "spc_t" })), undefined);
  const none = new Selinux({ selinuxfs: join(root, "none"), current: join(root, "none") });
  assert.equal(none.enabled, false);
  assert.equal(newSelinuxLevel({ selinux: none } as unknown as EngineContext), undefined);
});

test("labels are those of the policy, at the pod's level, with what is asked for instead", async () => {
  assert.deepEqual(await choose(host()), {
    process: "system_u:system_r:container_t:s0:c3,c7",
    mount: "system_u:object_r:container_file_t:s0:c3,c7",
  });
  mkdirSync(join(root, "mine/contexts"), { recursive: true });
  writeFileSync(join(root, "config"), "# SELINUXTYPE=no\nSELINUX=enforcing\nSELINUXTYPE=mine\n");
  const contexts = `process = "u:r:box_t:s0"\nro_file="x"\nfile = "u:o:box_file_t:s0"\n`;
  writeFileSync(join(root, "mine/contexts/lxc_contexts"), contexts);
  const own = await choose(host(), label({ user: "me", level: "s0:c1,c2" }));
  assert.deepEqual(own, { process: "me:r:box_t:s0:c1,c2", mount: "me:o:box_file_t:s0:c1,c2" });
  const ofPod = await choose(host(), undefined, false, pod("s0:c3,c7", label({ type: "special_t" })));
  assert.equal(ofPod?.process, "u:r:special_t:s0:c3,c7");
});

test("a privileged container is unconfined, and its files are at the pod's level", async () => {
  assert.deepEqual(await choose(host(), undefined, true), {
    process: "system_u:system_r:spc_t:s0",
    mount: "system_u:object_r:container_file_t:s0:c3,c7",
  });
});

test("a label that the kernel does not take is refused", async () => {
  rmSync(join(root, "context"));
  symlinkSync("/dev/full", join(root, "context"));
  await assert.rejects(choose(host(), label({ level: "s0,c4,c5" })), {
    kind: "invalid-argument",
    message: `SELinux label "system_u:system_r:container_t:s0,c4,c5" is not one of the host's policy`,
  });
});

test("each pod has two categories of its own", () => {
  const pods = Array.from({ length: 300 }, () => ({ sandbox: pod() }));
  const context = { selinux: host(), pods: { all: () => pods.values() } } as unknown as EngineContext;
  for (const { sandbox } of pods) {
    const level = newSelinuxLevel(context);
    assert.match(level ?? "", /^s0:c\d{1,4},c\d{1,4}$/);
    if (level !== undefined) sandbox.selinuxLevel = level;
  }
  assert.equal(new Set(pods.map(({ sandbox }) => sandbox.selinuxLevel)).size, pods.length);
});

test("directories of the system are never relabelled", async () => {
  for (const path of [
    "/",
    "/etc",
    "/etc/hosts",
    "/usr",
    "/usr/lib",
    "/home",
    "/home/me",
    "/var",
    "/proc/1",
    "/run",
  ])
    await assert.rejects(
      relabel(path, "x"),
      { kind: "failed-precondition", message: /is the system's$/ },
      path,
    );
});
