/**
 * A real reboot of the machine: what was there before is found again or told to be gone, and nothing of it is left.
 * The first run, with no note of a former one, makes pods; the second, after the reboot, looks at them. The package is
 * installed before (GANTRY_PACKAGE).
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { pushBusybox } from "./harness/fixture-images.ts";
import {
  installedCrictl,
  installedLeftovers,
  removeInstalledSettings,
  succeed,
  unitProperties,
  until,
  writeInstalledSettings,
} from "./harness/installed.ts";
import { startRegistry } from "./harness/registry.ts";
import { BUSYBOX, containerConfig, podConfig } from "./harness/setting.ts";

const DIRECTORY = "/var/lib/gantry-reboot-test";
const NOTE = join(DIRECTORY, "note.json");

interface Note {
  bootId: string;
  pods: string[];
  running: string;
  exited: string;
}

const bootId = async (): Promise<string> => await readFile("/proc/sys/kernel/random/boot_id", "utf8");
const crictl = await installedCrictl(DIRECTORY);

async function container(name: string, pod: string, podFile: string, command: string[]): Promise<string> {
  const file = await crictl.config(containerConfig(name, command));
  const id = await crictl.run("create", pod, file, podFile);
  await crictl.run("start", id);
  return id;
}

describe("before the reboot", { skip: existsSync(NOTE) && "this is after it" }, () => {
  test("pods run, of the package's daemon", async () => {
    await mkdir(join(DIRECTORY, "logs"), { recursive: true });
    await succeed("dpkg", "-i", process.env["GANTRY_PACKAGE"] ?? "");
    const registry = await startRegistry(join(DIRECTORY, "registry"));
    try {
      await pushBusybox(registry.host);
      await writeInstalledSettings({ registry: registry.host, upstreams: ["registry.k8s.io"] });
      await succeed("systemctl", "restart", "gantryd.service");
      await crictl.run("pull", BUSYBOX);
    } finally {
      await registry.stop();
    }
    const config = (name: string, more: object = {}): Promise<string> =>
      crictl.config(podConfig(name, { log_directory: join(DIRECTORY, "logs"), ...more }));
    const first = await config("first");
    const pod = await crictl.run("runp", first);
    const running = await container("running", pod, first, ["sleep", "100000"]);
    const exited = await container("exited", pod, first, ["sh", "-c", "exit 7"]);
    await until("it exits", async () => /EXITED/.test(await crictl.run("inspect", exited)));
    // One with a process of its own, on the host's network.
    const shared = { linux: { security_context: { namespace_options: { network: 2, pid: 0 } } } };
    const second = await crictl.run("runp", await config("second", shared));
    const note: Note = { bootId: await bootId(), pods: [pod, second], running, exited };
    await writeFile(NOTE, JSON.stringify(note));
  });
});

describe("after the reboot", { skip: !existsSync(NOTE) && "this is before it" }, () => {
  test("the daemon is back, with the images and with pods that it tells to be gone", async () => {
    const note = JSON.parse(await readFile(NOTE, "utf8")) as Note;
    assert.notEqual(await bootId(), note.bootId);
    // Nobody waits for the end of the boot.
    await until("gantryd is active", async () => {
      const { ActiveState } = await unitProperties("ActiveState");
      return ActiveState === "active";
    });
    assert.match(await crictl.run("images"), /busybox/);
    for (const pod of note.pods) {
      const { status } = await crictl.json<{ status: { state: string } }>("inspectp", pod);
      assert.equal(status.state, "SANDBOX_NOTREADY");
    }
    const inspect = async (id: string): Promise<{ state: string; exitCode: number; reason: string }> =>
      (await crictl.json<{ status: { state: string; exitCode: number; reason: string } }>("inspect", id))
        .status;
    const exited = await inspect(note.exited);
    assert.deepEqual([exited.state, exited.exitCode], ["CONTAINER_EXITED", 7]);
    const running = await inspect(note.running);
    assert.equal(running.state, "CONTAINER_EXITED");
    assert.notEqual(running.exitCode, 0);
  });

  test("a pod of the same name starts from the image that is there, beside the former one", async () => {
    const again = podConfig("first", { log_directory: join(DIRECTORY, "logs") });
    const file = await crictl.config({
      ...again,
      metadata: { ...(again as { metadata: object }).metadata, attempt: 1 },
    });
    const pod = await crictl.run("runp", file);
    const id = await container("again", pod, file, ["sleep", "1000"]);
    assert.equal(await crictl.run("exec", id, "echo", "here"), "here");
  });

  test("all can be removed, and nothing is left", async () => {
    await crictl.run("rmp", "--all", "--force");
    assert.equal(await crictl.run("pods", "-q"), "");
    assert.equal(await crictl.run("ps", "-a", "-q"), "");
    assert.deepEqual(await installedLeftovers(), []);
    await removeInstalledSettings();
    await succeed("dpkg", "--purge", "gantry");
    await rm(DIRECTORY, { recursive: true });
  });
});
