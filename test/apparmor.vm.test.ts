/** AppArmor in a kernel that has it: which profile a container's and an exec's process is really under, and what it denies. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { succeed } from "./harness/installed.ts";
import { BUSYBOX, containerConfig, makeSetting, podConfig, type Setting } from "./harness/setting.ts";

const NAMED = "gantry-test-named";
const POLICY = `profile ${NAMED} flags=(attach_disconnected) {\n  file,\n  capability,\n  deny /etc/hosts r,\n}\n`;
const SLEEP = ["sleep", "100000"];

describe("AppArmor", () => {
  let setting: Setting;
  let podFile: string;
  let pod: string;

  before(async () => {
    setting = await makeSetting();
    await setting.crictl.run("pull", BUSYBOX);
    podFile = await setting.crictl.config(podConfig("confined"));
    pod = await setting.crictl.run("runp", podFile);
    const scratch = await mkdtemp(join(tmpdir(), "gantry-apparmor-"));
    await writeFile(join(scratch, "policy"), POLICY);
    await succeed("apparmor_parser", "-K", "-r", join(scratch, "policy"));
    await rm(scratch, { recursive: true });
  });
  after(async () => {
    await setting.finish();
    await writeFile("/sys/kernel/security/apparmor/.remove", NAMED);
  });

  /** A running container, and the profile that the kernel has for its process and for one that is executed in it. */
  async function started(name: string, securityContext: object): Promise<{ id: string; profiles: string[] }> {
    const { crictl } = setting;
    const more = { linux: { security_context: securityContext } };
    const id = await crictl.run(
      "create",
      pod,
      await crictl.config(containerConfig(name, SLEEP, more)),
      podFile,
    );
    await crictl.run("start", id);
    const { info } = await crictl.json<{ info: { pid: number } }>("inspect", id);
    const own = await readFile(`/proc/${info.pid}/attr/current`, "utf8");
    const executed = await crictl.run("exec", id, "cat", "/proc/self/attr/current");
    return { id, profiles: [own.trim(), executed] };
  }

  test("the default profile is loaded and confines who says nothing and who asks for RuntimeDefault", async () => {
    const silent = await started("silent", {});
    const asking = await started("asking", { apparmor: { profile_type: 0 } });
    for (const { profiles } of [silent, asking])
      assert.deepEqual(profiles, ["gantry-default (enforce)", "gantry-default (enforce)"]);
  });

  test("it denies mounts and the host's settings to a container with every capability, and no ordinary work", async () => {
    const { crictl } = setting;
    const { id } = await started("capable", {
      capabilities: { add_capabilities: ["ALL"] },
      masked_paths: ["/nothing"],
      readonly_paths: ["/nothing"],
    });
    for (const denied of [
      "mount -t tmpfs tmpfs /mnt",
      "echo 1 >/proc/sys/vm/drop_caches",
      "echo h >/proc/sysrq-trigger",
    ])
      assert.notEqual((await crictl.try("exec", id, "sh", "-c", denied)).code, 0, denied);
    // The pod's first process, where the container shares its PID namespace, is the host's to signal.
    const allowed =
      "sleep 9 & kill $! && touch /a && mkdir /b && cat /proc/1/status /proc/meminfo >/dev/null && echo done";
    assert.equal(await crictl.run("exec", id, "sh", "-c", allowed), "done");
  });

  test("a named profile confines by what it says, in execs too", async () => {
    const { crictl } = setting;
    const { id, profiles } = await started("named", {
      apparmor: { profile_type: 2, localhost_ref: `localhost/${NAMED}` },
    });
    assert.deepEqual(profiles, [`${NAMED} (enforce)`, `${NAMED} (enforce)`]);
    assert.notEqual((await crictl.try("exec", id, "cat", "/etc/hosts")).code, 0);
  });

  test("unconfined and privileged containers are under none", async () => {
    const { profiles } = await started("unconfined", { apparmor: { profile_type: 1 } });
    assert.deepEqual(profiles, ["unconfined", "unconfined"]);
    const privileged = await setting.crictl.config(
      podConfig("open", { linux: { security_context: { privileged: true } } }),
    );
    const sandbox = await setting.crictl.run("runp", privileged);
    const config = containerConfig("privileged", SLEEP, {
      linux: { security_context: { privileged: true } },
    });
    const id = await setting.crictl.run("create", sandbox, await setting.crictl.config(config), privileged);
    await setting.crictl.run("start", id);
    assert.equal(await setting.crictl.run("exec", id, "cat", "/proc/self/attr/current"), "unconfined");
  });
});
