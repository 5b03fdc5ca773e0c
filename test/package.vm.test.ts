/**
 * The Debian package under a real systemd: installed, restarted, upgraded, removed, installed again and purged, with a
 * container that must not notice any of it but the end. GANTRY_PACKAGE and GANTRY_UPGRADE name the two packages.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { runCommand } from "./harness/command.ts";
import type { Crictl } from "./harness/crictl.ts";
import {
  installedCrictl,
  installedLeftovers,
  mainPid,
  removeInstalledSettings,
  succeed,
  unitProperties,
  until,
  writeInstalledSettings,
} from "./harness/installed.ts";
import { type Registry, startRegistry } from "./harness/registry.ts";
import { pushBusybox } from "./harness/fixture-images.ts";
import { BUSYBOX, containerConfig, podConfig } from "./harness/setting.ts";

const PACKAGE = process.env["GANTRY_PACKAGE"] ?? "";
const UPGRADE = process.env["GANTRY_UPGRADE"] ?? "";
const CONFIG = "/etc/gantry/config.toml";

describe("the package under systemd", () => {
  let scratch: string;
  let registry: Registry;
  let crictl: Crictl;
  let container = "";
  let pid = 0;

  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), "gantry-installed-"));
    registry = await startRegistry(join(scratch, "registry"));
    await pushBusybox(registry.host);
    crictl = await installedCrictl(scratch);
  });
  after(async () => {
    await runCommand("dpkg", ["--purge", "gantry"]);
    await registry.stop();
    await rm(scratch, { recursive: true, force: true });
  });

  const isActive = async (): Promise<string> =>
    (await runCommand("systemctl", ["is-active", "gantryd.service"])).stdout.trim();
  const isEnabled = async (): Promise<string> =>
    (await runCommand("systemctl", ["is-enabled", "gantryd.service"])).stdout.trim();
  const logLines = async (): Promise<number> =>
    (await readFile(join(scratch, "logs/ticker.log"), "utf8")).split("\n").length;

  /** The container has the process that it had, and its log goes on. */
  async function assertUntouched(): Promise<void> {
    const { info, status } = await crictl.json<{ info: { pid: number }; status: { state: string } }>(
      "inspect",
      container,
    );
    assert.equal(status.state, "CONTAINER_RUNNING");
    assert.equal(info.pid, pid);
    const before = await logLines();
    await until("the log goes on", async () => (await logLines()) > before);
    assert.equal(await crictl.run("exec", container, "echo", "still", "here"), "still here");
  }

  test("installs, is enabled, and answers calls when its unit says that it is started", async () => {
    await succeed("dpkg", "-i", PACKAGE);
    assert.equal(await isActive(), "active");
    assert.equal(await isEnabled(), "enabled");
    assert.match(await crictl.run("version"), /RuntimeName: +gantry/);
    assert.equal(await succeed("dpkg", "--verify", "gantry"), "");
    const { stdout } = await runCommand("systemctl", ["list-units", "--failed", "--plain", "--no-legend"]);
    assert.equal(stdout, "");
  });

  test("its unit is as one that containers outlive has to be", async () => {
    const properties = await unitProperties(
      ...["Type", "NotifyAccess", "KillMode", "Delegate", "OOMScoreAdjust", "LimitNOFILE", "Restart"],
      ...["TasksMax", "NRestarts"],
    );
    assert.deepEqual(properties, {
      Type: "notify",
      NotifyAccess: "main",
      KillMode: "process",
      Delegate: "yes",
      OOMScoreAdjust: "-999",
      LimitNOFILE: "1048576",
      Restart: "always",
      TasksMax: "infinity",
      NRestarts: "0",
    });
    const verify = await runCommand("systemd-analyze", ["verify", "/lib/systemd/system/gantryd.service"]);
    assert.doesNotMatch(verify.stderr, /gantryd\.service/, verify.stderr);
  });

  test("brings manual pages that man finds and completion that bash loads", async () => {
    for (const page of ["gantryd", "gantry-oci", "gantry.toml"]) {
      const { code, stdout, stderr } = await runCommand("man", ["-P", "cat", page]);
      assert.equal(code, 0, stderr);
      assert.match(stdout, /NAME/, page);
    }
    const load = `source /usr/share/bash-completion/bash_completion
      for name in gantryd gantry-oci; do _completion_loader $name; complete -p $name; done`;
    const { stdout, stderr } = await runCommand("bash", ["-c", load]);
    assert.match(stdout, /gantryd\n.*gantry-oci\n/, stderr);
  });

  test("runs a container that is no part of the daemon's service", async () => {
    await writeInstalledSettings({ registry: registry.host, upstreams: ["registry.k8s.io"] });
    await succeed("systemctl", "restart", "gantryd.service");
    await mkdir(join(scratch, "logs"));
    await crictl.run("pull", BUSYBOX);
    const pod = await crictl.config(podConfig("ticker", { log_directory: join(scratch, "logs") }));
    const command = ["sh", "-c", "while :; do echo tick; sleep 0.2; done"];
    const sandbox = await crictl.run("runp", pod);
    container = await crictl.run(
      "create",
      sandbox,
      await crictl.config(containerConfig("ticker", command)),
      pod,
    );
    await crictl.run("start", container);
    pid = (await crictl.json<{ info: { pid: number } }>("inspect", container)).info.pid;
    await assertUntouched();
    const { ControlGroup = "" } = await unitProperties("ControlGroup");
    const groups = await readdir(`/sys/fs/cgroup${ControlGroup}`, { recursive: true, withFileTypes: true });
    const processes = groups
      .filter(({ name }) => name === "cgroup.procs")
      .map(({ parentPath, name }) => readFile(join(parentPath, name), "utf8"));
    const found = (await Promise.all(processes)).flatMap((text) => text.trim().split("\n"));
    assert.deepEqual(
      found.filter((line) => line !== ""),
      [String(await mainPid())],
    );
  });

  test("a restart and a crash of the daemon touch no container", async () => {
    const first = await mainPid();
    await succeed("systemctl", "restart", "gantryd.service");
    const second = await mainPid();
    assert.notEqual(second, first);
    await assertUntouched();
    process.kill(second, "SIGKILL");
    await until("the unit starts the daemon again", async () => {
      const next = await mainPid();
      return next !== second && next > 0 && (await isActive()) === "active";
    });
    await assertUntouched();
  });

  test("an upgrade restarts the daemon, keeps the changed configuration, and touches no container", async () => {
    await appendFile(CONFIG, "# the operator's own line\n");
    const former = await mainPid();
    await succeed("dpkg", "-i", "--force-confold", UPGRADE);
    assert.match(await succeed("dpkg-query", "-W", "gantry"), /upgrade/);
    assert.notEqual(await mainPid(), former);
    assert.equal(await isActive(), "active");
    assert.match(await readFile(CONFIG, "utf8"), /the operator's own line/);
    await assertUntouched();
  });

  test("an upgrade of a disabled and stopped daemon leaves it so", async () => {
    await succeed("systemctl", "disable", "--now", "gantryd.service");
    const before = await logLines();
    await until("the log goes on without a daemon", async () => (await logLines()) > before);
    await succeed("dpkg", "-i", "--force-confold", PACKAGE);
    assert.equal(await isActive(), "inactive");
    assert.equal(await isEnabled(), "disabled");
    await succeed("systemctl", "enable", "--now", "gantryd.service");
    await assertUntouched();
  });

  test("a removal ends the daemon and leaves containers, which the next installation finds", async () => {
    await succeed("dpkg", "--remove", "gantry");
    assert.ok(!existsSync("/lib/systemd/system/gantryd.service"));
    assert.ok(!existsSync("/run/gantry/gantry.sock"));
    assert.notEqual(await isActive(), "active");
    assert.ok(existsSync(CONFIG));
    process.kill(pid, 0);
    const before = await logLines();
    await until("the log goes on without the package", async () => (await logLines()) > before);
    await succeed("dpkg", "-i", PACKAGE);
    assert.equal(await isActive(), "active");
    assert.equal(await isEnabled(), "enabled");
    assert.match(await readFile(CONFIG, "utf8"), /the operator's own line/);
    await assertUntouched();
  });

  test("a purge while containers run keeps their state; without any it leaves nothing", async () => {
    const purge = await runCommand("dpkg", ["--purge", "gantry"]);
    assert.equal(purge.code, 0, purge.stderr);
    assert.match(purge.stderr, /containers are left/);
    assert.ok(existsSync("/var/lib/gantry"));
    process.kill(pid, 0);
    await succeed("dpkg", "-i", PACKAGE);
    await writeInstalledSettings({ registry: registry.host, upstreams: ["registry.k8s.io"] });
    await succeed("systemctl", "restart", "gantryd.service");
    await assertUntouched();

    await crictl.run("rmp", "--all", "--force");
    assert.deepEqual(await installedLeftovers(), []);
    await removeInstalledSettings();
    await succeed("dpkg", "--purge", "gantry");
    for (const place of ["/var/lib/gantry", "/run/gantry", "/etc/gantry", "/usr/lib/gantry"])
      assert.ok(!existsSync(place), place);
    const { stdout: units } = await runCommand("systemctl", ["list-unit-files", "gantry*", "--no-legend"]);
    assert.doesNotMatch(units, /gantryd|gantry\.slice/);
    const profiles = await readFile("/sys/kernel/security/apparmor/profiles", "utf8");
    assert.doesNotMatch(profiles, /^gantry-default /m);
    const { stdout: groups } = await runCommand("find", [
      ...["/sys/fs/cgroup", "-type", "d", "-name", "gantry*", "-not", "-name", "gantry-guest.service"],
    ]);
    assert.equal(groups, "");
    const { stdout: links } = await runCommand("ip", ["-o", "link"]);
    assert.doesNotMatch(links, /gantry/);
    const { stdout: tables } = await runCommand("nft", ["list", "tables"]);
    assert.doesNotMatch(tables, /gantry/);
  });
});
