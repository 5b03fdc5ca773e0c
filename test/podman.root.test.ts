/**
 * Debian's podman with gantry-oci as its OCI runtime: what its commands do to containers, and what it makes of
 * failures. Most of it is in how podman calls the runtime through conmon: exit files, console sockets, logs in JSON.
 */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { CommandResult } from "./harness/command.ts";
import { installExecutor } from "./harness/installed-executor.ts";
import { IMAGE, Podman } from "./harness/podman.ts";
import { shortDirectory } from "./harness/short-directory.ts";

const PATIENCE = 1000;
const home = shortDirectory("gantry-podman-runtime");
let podman: Podman;

before(async () => {
  podman = await Podman.start(await installExecutor(home));
});
after(async () => {
  await podman?.remove();
  rmSync(home, { recursive: true });
});

/** A short-lived container without a network. */
async function once(options: string[], ...command: string[]): Promise<CommandResult> {
  return await podman.run("run", "--rm", "--network", "none", ...options, IMAGE, ...command);
}

async function output(result: Promise<CommandResult>): Promise<string> {
  const { code, stdout, stderr } = await result;
  assert.equal(code, 0, stderr);
  return stdout.trim();
}

async function until(what: string, done: () => Promise<boolean>): Promise<void> {
  for (let turn = 0; turn < PATIENCE; turn++) {
    if (await done()) return;
    await sleep(50);
  }
  assert.fail(what);
}

test("a detached container: exec, top, stats, pause, kill, stop, start, remove", async () => {
  const name = "life";
  await output(podman.run("run", "-d", "--name", name, "--network", "none", IMAGE, "sleep", "1000"));
  const inspect = (format: string): Promise<string> =>
    output(podman.run("inspect", "--format", format, name));

  const shell = "id -u; id -g; pwd; echo $A";
  const given = ["--user", "1000:1000", "--workdir", "/tmp", "--env", "A=b"];
  assert.equal(await output(podman.run("exec", ...given, name, "sh", "-c", shell)), "1000\n1000\n/tmp\nb");
  assert.equal((await podman.run("exec", name, "sh", "-c", "exit 5")).code, 5);
  assert.equal((await podman.run("exec", name, "sh", "-c", "kill -9 $$")).code, 137);
  assert.equal((await podman.run("exec", name, "nothing-of-that-name")).code, 127);
  assert.equal((await podman.run("exec", name, "/bin/not-executable")).code, 126);
  const tty = await podman.runWithTerminal("", "exec", "-t", name, "tty");
  assert.match(tty.stdout, /\/dev\/pts\/\d+/);
  await output(podman.run("exec", "-d", name, "touch", "/tmp/made"));
  await until("what is executed aside", async () => {
    return (await podman.run("exec", name, "test", "-e", "/tmp/made")).code === 0;
  });

  assert.match(await output(podman.run("top", name, "pid", "comm")), /1 +sleep/);
  const stats = podman.run("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", name);
  assert.equal(await output(stats), `${name} 1`);
  await output(podman.run("pause", name));
  assert.equal(await inspect("{{.State.Status}}"), "paused");
  await output(podman.run("unpause", name));
  await output(podman.run("update", "--memory", "64m", name));
  await output(podman.run("kill", "-s", "USR1", name));
  assert.equal(await inspect("{{.State.Status}}"), "running");
  await output(podman.run("stop", "-t", "1", name));
  assert.equal(await inspect("{{.State.Status}} {{.State.ExitCode}}"), "exited 137");
  await output(podman.run("start", name));
  assert.equal(await inspect("{{.State.Status}}"), "running");
  await output(podman.run("rm", "-f", "-t", "0", name));
});

test("output, its log, and exit status", async () => {
  const script = "echo out; echo err >&2; exit 3";
  const { code, stdout, stderr } = await podman.run(
    ...["run", "--name", "said", "--network", "none", IMAGE, "sh", "-c", script],
  );
  assert.deepEqual([code, stdout, stderr], [3, "out\n", "err\n"]);
  assert.equal((await podman.run("logs", "said")).stdout, "out\n");
  await output(podman.run("rm", "said"));
});

test("a command that is not there, or cannot be executed, is told as podman looks for it", async () => {
  const missing = await once([], "nothing-of-that-name");
  assert.equal(missing.code, 127);
  assert.match(missing.stderr, /executable file not found in \$PATH/);
  const data = await once([], "/bin/not-executable");
  assert.equal(data.code, 126);
  assert.match(data.stderr, /permission denied/i);
  assert.equal((await once([], "/etc")).code, 126);
  assert.equal((await once(["--workdir", "/bin/busybox"], "true")).code, 126);
});

test("a terminal, with input", async () => {
  const args = ["run", "--rm", "-it", "--network", "none", IMAGE, "sh"];
  const { stdout } = await podman.runWithTerminal("tty; echo $((40+2)); exit 4\n", ...args);
  assert.match(stdout, /\/dev\/pts\/0/);
  assert.match(stdout, /42/);
});

test("what a container may do", async () => {
  const status = ["grep", "-E", "Cap(Eff|Bnd)|NoNew|Seccomp:", "/proc/self/status"];
  const changed = await output(once(["--cap-drop", "ALL", "--cap-add", "NET_ADMIN"], ...status));
  assert.match(changed, /CapEff:\s+0000000000001000/);
  assert.match(changed, /Seccomp:\s+2/);
  const options = ["--security-opt", "no-new-privileges", "--security-opt", "seccomp=unconfined"];
  const unconfined = await output(once(options, ...status));
  assert.match(unconfined, /NoNewPrivs:\s+1/);
  assert.match(unconfined, /Seccomp:\s+0/);
  const privileged = await output(once(["--privileged"], "sh", "-c", "ls /dev | wc -l"));
  assert.ok(Number(privileged) > 20, privileged);
  const readOnly = await once(["--read-only"], "sh", "-c", "touch /x; touch /tmp/x && echo written");
  assert.match(readOnly.stderr, /Read-only file system/);
  assert.equal(readOnly.stdout, "written\n");
});

test("limits reach the kernel", async () => {
  const ulimits = ["--ulimit", "nofile=100:200", "--ulimit", "nproc=512:512"];
  const limits = ["--memory", "64m", "--pids-limit", "50", "--cpus", "0.5", ...ulimits];
  const script = `ulimit -n; ulimit -Hn; while IFS=: read -r n c p; do echo "$c $p"; done < /proc/self/cgroup
    cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null
    cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; true`;
  const lines = (await output(once(limits, "sh", "-c", script))).split("\n");
  assert.deepEqual(lines.slice(0, 2), ["100", "200"]);
  assert.ok(lines.includes("67108864") && lines.includes("50"), lines.join("\n"));
});

test("volumes, temporary file systems, devices, sysctls, init, user namespaces", async () => {
  const shared = join(podman.directory, "shared");
  mkdirSync(shared);
  const mounts = ["-v", `${shared}:/shared`, "-v", `${shared}:/fixed:ro`, "--tmpfs", "/t:size=1m"];
  const script = "echo kept > /shared/file; touch /fixed/x; grep -c ' /t tmpfs' /proc/mounts";
  const mounted = await once(mounts, "sh", "-c", script);
  assert.match(mounted.stderr, /Read-only file system/);
  assert.equal(mounted.stdout, "1\n");
  assert.equal(readFileSync(join(shared, "file"), "utf8"), "kept\n");
  const device = await output(once(["--device", "/dev/null:/dev/foo:r"], "ls", "-l", "/dev/foo"));
  assert.match(device, /1, +3/);
  const sysctl = once(["--sysctl", "kernel.msgmax=65536"], "cat", "/proc/sys/kernel/msgmax");
  assert.equal(await output(sysctl), "65536");
  assert.match(await output(once(["--init"], "ps")), /1 root .*(catatonit|init)/);
  const mapping = ["--uidmap", "0:100000:5000", "--gidmap", "0:100000:5000"];
  const mapped = await output(once(mapping, "sh", "-c", "id -u; cat /proc/self/uid_map"));
  assert.match(mapped, /^0\n\s+0\s+100000\s+5000$/);
});

test("networks: none, the host's, and a bridge", async () => {
  assert.doesNotMatch(await output(once([], "ip", "-4", "addr")), /eth0/);
  const host = await output(
    podman.run("run", "--rm", "--network", "host", IMAGE, "ls", "-l", "/proc/self/ns/net"),
  );
  assert.ok(host.endsWith(` ${readlinkSync("/proc/self/ns/net")}`), host);
  const bridged = await output(podman.run("run", "--rm", "--network", "podman", IMAGE, "ip", "-4", "addr"));
  assert.match(bridged, /inet 10\.196\.7\.\d+/);
});

test("a pod shares its namespaces", async () => {
  const create = ["pod", "create", "--name", "shared", "--share", "net,ipc,uts", "--network", "none"];
  await output(podman.run(...create));
  await output(podman.run("run", "-d", "--pod", "shared", "--name", "one", IMAGE, "sleep", "1000"));
  const namespaces = "for n in net ipc uts; do ls -l /proc/self/ns/$n | grep -o '[0-9]*]'; done";
  const [one, two] = [
    await output(podman.run("exec", "one", "sh", "-c", namespaces)),
    await output(podman.run("run", "--rm", "--pod", "shared", IMAGE, "sh", "-c", namespaces)),
  ];
  assert.equal(one, two);
  await output(podman.run("pod", "rm", "-f", "-t", "0", "shared"));
});

test("a health check", async () => {
  const check = ["--health-cmd", "test -e /tmp/well", "--health-interval", "disable"];
  const run = ["run", "-d", "--name", "ill", "--network", "none", ...check, IMAGE, "sleep", "1000"];
  await output(podman.run(...run));
  assert.equal((await podman.run("healthcheck", "run", "ill")).code, 1);
  await output(podman.run("exec", "ill", "touch", "/tmp/well"));
  assert.equal((await podman.run("healthcheck", "run", "ill")).code, 0);
  await output(podman.run("rm", "-f", "-t", "0", "ill"));
});

test("nothing is left behind", async () => {
  let left: string[] = [];
  await until("leftovers", async () => {
    left = await podman.leftovers();
    return left.length === 0;
  }).catch(() => undefined);
  assert.deepEqual(left, []);
});
