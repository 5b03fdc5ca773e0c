/**
 * Debian's podman with an OCI runtime of our choice, on paths of its own: storage, state, network, locks. Its one image
 * is made of Debian's busybox, without a network.
 */
import { copyFileSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runCommand, type CommandResult } from "./command.ts";
import { filesBelowCgroups, mountsBelow, processesBelow } from "./podman-leftovers.ts";
import { shortDirectory } from "./short-directory.ts";

export const IMAGE = "busybox:test";
const SUBNET = "10.196.7.0/24";
const APPLETS =
  "sh true false sleep ls cat id ps mount hostname stty tty env grep kill touch pwd test ip head echo wc";

export class Podman {
  readonly directory: string;
  readonly #runtime: string;
  readonly #bridge = `pm${process.pid}`;

  private constructor(directory: string, runtime: string) {
    this.directory = directory;
    this.#runtime = runtime;
  }

  /** @param runtime absolute path of the OCI runtime. */
  static async start(runtime: string): Promise<Podman> {
    // Short: below it are sockets.
    const podman = new Podman(shortDirectory("gantry-podman"), runtime);
    podman.#configure();
    podman.#makeRootfs();
    const layer = join(podman.directory, "layer.tar");
    await checked(runCommand("tar", ["-C", join(podman.directory, "rootfs"), "-cf", layer, "."]));
    await checked(podman.run("import", layer, IMAGE));
    return podman;
  }

  /** Every call says where everything is, as podman keeps no other memory of it. */
  command(args: readonly string[]): { program: string; args: string[]; env: NodeJS.ProcessEnv } {
    const at = (name: string): string => join(this.directory, name);
    const global = ["--root", at("root"), "--runroot", at("runroot"), "--tmpdir", at("tmp")];
    global.push("--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "none");
    global.push("--runtime", this.#runtime);
    const env = {
      ...process.env,
      CONTAINERS_CONF: at("containers.conf"),
      CONTAINERS_STORAGE_CONF: at("storage.conf"),
      TMPDIR: this.directory,
    };
    return { program: "podman", args: [...global, ...args], env };
  }

  async run(...args: string[]): Promise<CommandResult> {
    const { program, args: all, env } = this.command(args);
    return await runCommand(program, all, { env, timeoutMs: 60_000 });
  }

  /** With a terminal as standard streams, by script(1). */
  async runWithTerminal(input: string, ...args: string[]): Promise<CommandResult> {
    const { program, args: all, env } = this.command(args);
    const line = [program, ...all].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
    return await runCommand("script", ["-qefc", line, "/dev/null"], { env, input, timeoutMs: 60_000 });
  }

  /** What is still there of its containers: processes, mounts, control groups. */
  async leftovers(): Promise<string[]> {
    return [
      ...(await processesBelow(this.directory)),
      ...(await mountsBelow(this.directory)),
      ...filesBelowCgroups(`gantry-podman-${process.pid}`),
    ];
  }

  /** A cgroup parent of this run's alone. */
  get cgroupParent(): string {
    return `/gantry-podman-${process.pid}`;
  }

  async remove(): Promise<void> {
    await this.run("pod", "rm", "-f", "-a", "-t", "0");
    await this.run("rm", "-f", "-a", "-t", "0");
    await runCommand("ip", ["link", "delete", this.#bridge]);
    rmSync(this.directory, { recursive: true, force: true });
  }

  #configure(): void {
    const at = (name: string): string => join(this.directory, name);
    mkdirSync(at("net.d"));
    writeFileSync(
      at("containers.conf"),
      `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
cgroup_parent = ${JSON.stringify(this.cgroupParent)}
[engine]
lock_type = "file"
runtime_supports_json = ["gantry-oci"]
[network]
network_backend = "cni"
cni_plugin_dirs = ["/usr/lib/cni"]
network_config_dir = ${JSON.stringify(at("net.d"))}
`,
    );
    writeFileSync(
      at("storage.conf"),
      `[storage]\ndriver = "vfs"\nrunroot = ${JSON.stringify(at("runroot"))}\ngraphroot = ${JSON.stringify(at("root"))}\n`,
    );
    const bridge = {
      type: "bridge",
      bridge: this.#bridge,
      isGateway: true,
      ipam: { type: "host-local", dataDir: at("ipam"), ranges: [[{ subnet: SUBNET }]] },
    };
    writeFileSync(
      at("net.d/87-podman.conflist"),
      JSON.stringify({ cniVersion: "0.4.0", name: "podman", plugins: [bridge] }),
    );
  }

  #makeRootfs(): void {
    const rootfs = join(this.directory, "rootfs");
    for (const name of ["bin", "etc", "tmp", "proc", "sys", "dev"])
      mkdirSync(join(rootfs, name), { recursive: true });
    copyFileSync("/usr/bin/busybox", join(rootfs, "bin/busybox"));
    for (const applet of APPLETS.split(" ")) symlinkSync("busybox", join(rootfs, "bin", applet));
    writeFileSync(join(rootfs, "bin/not-executable"), "");
    writeFileSync(join(rootfs, "etc/passwd"), "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n");
    writeFileSync(join(rootfs, "etc/group"), "root:x:0:\nuser:x:1000:\n");
  }
}

async function checked(result: Promise<CommandResult>): Promise<void> {
  const { code, stderr } = await result;
  if (code !== 0) throw new Error(stderr);
}
