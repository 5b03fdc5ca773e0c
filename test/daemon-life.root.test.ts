/** Start, second start, stop and death of the daemon, as a service manager and an operator see them. */
import assert from "node:assert/strict";
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { globSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

const program = join(import.meta.dirname, "../bin/gantryd");

/** Prints each datagram on one line; Node has no datagram sockets of the unix family, and Perl is on every Debian. */
const NOTIFY_LISTENER = `
  use Socket;
  socket(my $s, AF_UNIX, SOCK_DGRAM, 0); bind($s, pack_sockaddr_un(shift)) or die "bind: $!";
  $| = 1; print "bound\\n";
  while (defined recv($s, my $message, 4096, 0)) { $message =~ s/\\n/ /g; print "$message\\n"; }
`;

class Instance {
  readonly directory: string;
  readonly socket: string;
  readonly group: string;

  constructor(t: TestContext) {
    this.directory = mkdtempSync(join(tmpdir(), "gantry-life-"));
    this.socket = join(this.directory, "state/gantry.sock");
    this.group = `gantry-life-${process.pid}-${Math.random().toString(36).slice(2, 8)}`;
    const lines = ["[network]", 'mode = "none"', "[runtime]", `pod_cgroup = "/${this.group}"`];
    writeFileSync(
      join(this.directory, "config.toml"),
      [...lines, `shim_cgroup = "/${this.group}-shims"`, "[nri]", "enable = false"].join("\n"),
    );
    t.after(() => rmSync(this.directory, { recursive: true, force: true }));
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** Control groups that are left of it. */
  groups(): string[] {
    return globSync(`/sys/fs/cgroup/**/${this.group}*`);
  }

  args(root = "root", state = "state"): string[] {
    return ["--config", this.path("config.toml"), "--root", this.path(root), "--state", this.path(state)];
  }

  /** Starts it and resolves when its log says that it is ready. */
  async start(
    t: TestContext,
    environment: Record<string, string> = {},
  ): Promise<ChildProcess & { log: () => string }> {
    const child = spawn(program, this.args(), {
      env: { ...process.env, ...environment },
      stdio: ["ignore", "inherit", "pipe"],
    });
    t.after(() => child.kill("SIGKILL"));
    let log = "";
    const ready = Promise.withResolvers<void>();
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      log += text;
      if (log.includes('"msg":"ready"')) ready.resolve();
    });
    child.on("exit", () => ready.reject(new Error(`gantryd ended:\n${log}`)));
    await ready.promise;
    return Object.assign(child, { log: () => log });
  }
}

async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  const end = once(child, "exit");
  child.kill(signal);
  await end;
  return child.exitCode;
}

test("it tells the service manager that it is ready, and that it stops", async (t) => {
  const instance = new Instance(t);
  const address = instance.path("notify");
  const listener = spawn("perl", ["-e", NOTIFY_LISTENER, address], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => listener.kill());
  const heard: string[] = [];
  listener.stdout.setEncoding("utf8").on("data", (text: string) => heard.push(text));
  await once(listener.stdout, "data");
  const daemon = await instance.start(t, { NOTIFY_SOCKET: address });
  assert.equal(await stop(daemon, "SIGTERM"), 0);
  while (!heard.join("").includes("STOPPING=1")) await once(listener.stdout, "data");
  assert.equal(heard.join(""), `bound\nREADY=1 MAINPID=${daemon.pid}\nSTOPPING=1\n`);
});

test("what it makes is its own alone", async (t) => {
  const instance = new Instance(t);
  const daemon = await instance.start(t);
  for (const name of [
    "root",
    "state",
    "root/images.db",
    "root/containers.db",
    "root/snapshots",
    "state/gantry.sock",
  ]) {
    assert.equal(statSync(instance.path(name)).mode & 0o077, 0, name);
  }
  assert.equal(await stop(daemon, "SIGINT"), 0);
});

test("a second one on the same root, state or socket is refused, and the first goes on", async (t) => {
  const instance = new Instance(t);
  const daemon = await instance.start(t);
  const refused = (args: string[]): string => {
    const { status, stderr } = spawnSync(program, args, { encoding: "utf8" });
    assert.equal(status, 1);
    return stderr.trim();
  };
  const inUse = (name: string): string =>
    `gantryd: ${instance.path(name)} is in use by another gantryd (pid ${daemon.pid})`;
  assert.equal(refused(instance.args("root", "state2")), inUse("root"));
  assert.equal(refused(instance.args("root2", "state")), inUse("state"));
  const listen = ["--listen", `unix://${instance.socket}`];
  assert.match(refused([...instance.args("root2", "state2"), ...listen]), /another process listens on/);
  const connection = connect(instance.socket);
  await once(connection, "connect");
  connection.destroy();
  assert.equal(await stop(daemon, "SIGTERM"), 0);
  assert.deepEqual(instance.groups(), []);
});

test("after SIGKILL the next one starts in the same place, over the stale socket and lock", async (t) => {
  const instance = new Instance(t);
  const first = await instance.start(t);
  await stop(first, "SIGKILL");
  assert.ok(statSync(instance.socket).isSocket());
  const second = await instance.start(t);
  assert.equal(readFileSync(instance.path("root/gantryd.lock"), "utf8"), `${second.pid}\n`);
  assert.equal(await stop(second, "SIGTERM"), 0);
  assert.deepEqual(instance.groups(), []);
});

test("a path of the socket that is not a socket is left alone, and the start fails", async (t) => {
  const instance = new Instance(t);
  writeFileSync(instance.path("file"), "precious");
  const args = [...instance.args(), "--listen", `unix://${instance.path("file")}`];
  const { status, stderr } = spawnSync(program, args, { encoding: "utf8" });
  assert.equal(status, 1);
  assert.match(stderr, /exists and is not a socket/);
  assert.equal(readFileSync(instance.path("file"), "utf8"), "precious");
  assert.deepEqual(instance.groups(), []);
});
