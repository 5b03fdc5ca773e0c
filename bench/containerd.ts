/** Debian's containerd with runc, on paths of its own, to measure beside Gantry in one run. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { runCommand } from "../test/harness/command.ts";

export interface Containerd {
  endpoint: string;
  pid: number;
  version: string;
  stop(): Promise<void>;
}

/**
 * @param mirrors upstream host → "127.0.0.1:PORT".
 * @param binaryName the runtime that its shim calls; Debian's runc unless given.
 * Needs the packages containerd, runc, containernetworking-plugins.
 */
export async function startContainerd(
  mirrors: Record<string, string>,
  subnet: string,
  binaryName?: string,
): Promise<Containerd> {
  const directory = await mkdtemp(join(tmpdir(), "bench-containerd-"));
  const hadNat = await hasNatTable();
  const bridge = `cd${process.pid}`;
  const socket = join(directory, "containerd.sock");
  for (const [upstream, host] of Object.entries(mirrors)) {
    await mkdir(join(directory, "certs.d", upstream), { recursive: true });
    await writeFile(join(directory, "certs.d", upstream, "hosts.toml"), `[host."http://${host}"]\n`);
  }
  await mkdir(join(directory, "net.d"));
  await writeFile(
    join(directory, "net.d/10-bench.conflist"),
    JSON.stringify(conflist(bridge, subnet, directory)),
  );
  await writeFile(join(directory, "config.toml"), configuration(directory, socket, binaryName));
  const log = openSync(join(directory, "log"), "a");
  const child = spawn("containerd", ["--config", join(directory, "config.toml")], {
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  for (let attempt = 0; !existsSync(socket) || !(await serving(directory)); attempt++) {
    if (child.exitCode !== null || attempt > 200)
      throw new Error(`containerd did not start:\n${await readFile(join(directory, "log"), "utf8")}`);
    await sleep(50);
  }
  const version = (await runCommand("containerd", ["--version"])).stdout.trim();
  return {
    endpoint: `unix://${socket}`,
    pid: child.pid ?? -1,
    version,
    stop: async () => {
      child.kill("SIGTERM");
      await once(child, "exit");
      await runCommand("ip", ["link", "delete", bridge]);
      // The chains of the CNI plugins stay behind, empty.
      if (!hadNat) await runCommand("nft", ["delete", "table", "ip", "nat"]);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function hasNatTable(): Promise<boolean> {
  return (await runCommand("nft", ["list", "table", "ip", "nat"])).code === 0;
}

async function serving(directory: string): Promise<boolean> {
  return (await readFile(join(directory, "log"), "utf8")).includes("successfully booted");
}

function configuration(directory: string, socket: string, binaryName = "runc"): string {
  const cri = '[plugins."io.containerd.grpc.v1.cri"';
  return `version = 2
root = "${directory}/root"
state = "${directory}/state"
[grpc]
  address = "${socket}"
${cri}]
  sandbox_image = "registry.k8s.io/pause:3.10"
  restrict_oom_score_adj = true
  stream_server_port = "0"
${cri}.registry]
  config_path = "${directory}/certs.d"
${cri}.cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "${directory}/net.d"
${cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
${cri}.containerd.runtimes.runc.options]
  BinaryName = "${binaryName}"
`;
}

function conflist(bridge: string, subnet: string, directory: string): object {
  return {
    cniVersion: "1.0.0",
    name: "bench",
    plugins: [
      {
        type: "bridge",
        bridge,
        isGateway: true,
        ipMasq: true,
        hairpinMode: true,
        ipam: {
          type: "host-local",
          ranges: [[{ subnet }]],
          dataDir: join(directory, "ipam"),
          routes: [{ dst: "0.0.0.0/0" }],
        },
      },
      { type: "portmap", capabilities: { portMappings: true } },
    ],
  };
}
