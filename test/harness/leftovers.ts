/**
 * What of a test daemon is still in the system. A finished test has none of it: no process, mount (and so no pinned
 * namespace), network device, cgroup, nftables table, socket, or file of a pod, a container or a cut-off pull.
 */
import { readdir, readFile, readlink } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { cniHoldings } from "./cni.ts";
import { runCommand } from "./command.ts";
import type { TestDaemon } from "./daemon.ts";
import { patient } from "./patience.ts";

/** A line for each thing that is left. The daemon itself does not count. */
export async function leftovers(daemon: TestDaemon): Promise<string[]> {
  const found = await Promise.all([
    processes(daemon),
    mounts(daemon),
    devices(daemon),
    cgroups(daemon),
    tables(daemon),
    sockets(daemon),
    files(daemon),
    ...(daemon.network === "cni" ? [cniHoldings(daemon)] : []),
  ]);
  return found.flat();
}

/** Directories of the daemon in which there is nothing when no pod, container or pull is. */
const EMPTY_AT_REST = [
  "state/pods",
  "state/shims",
  "state/bundles",
  ...["overlayfs", "copy"].flatMap((name) => [
    `root/snapshots/${name}/active`,
    `root/snapshots/${name}/trash`,
  ]),
  "root/images/ingest",
];

/** As leftovers, after a little patience for what the kernel ends by itself: processes that exit, devices that go. */
export async function leftoversAtRest(daemon: TestDaemon): Promise<string[]> {
  let left = await leftovers(daemon);
  for (const end = performance.now() + patient(20_000); left.length > 0 && performance.now() < end;) {
    await sleep(50);
    left = await leftovers(daemon);
  }
  return left;
}

/** Processes with a path of the test's in their command line, environment root, or a cgroup of the test's. */
export async function processes(daemon: TestDaemon): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid) || Number(pid) === daemon.pid || Number(pid) === process.pid) continue;
    const [cmdline, cgroup, cwd] = await Promise.all([
      readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""),
      readFile(`/proc/${pid}/cgroup`, "utf8").catch(() => ""),
      readlink(`/proc/${pid}/cwd`).catch(() => ""),
    ]);
    const ours =
      [cmdline, cwd].some((text) => text.includes(daemon.directory)) || cgroup.includes(daemon.cgroupParent);
    if (ours && !(await isInitsZombie(pid))) found.push(`process ${pid}: ${cmdline.replaceAll("\0", " ")}`);
  }
  return found;
}

/** Dead, and the first process's to reap: nobody of ours can do more for it. */
async function isInitsZombie(pid: string): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return stat.slice(stat.lastIndexOf(")") + 1).startsWith(" Z 1 ");
}

export async function mounts(daemon: TestDaemon): Promise<string[]> {
  const text = await readFile("/proc/self/mountinfo", "utf8");
  return text
    .split("\n")
    .filter((line) => line.includes(daemon.directory))
    .map((line) => `mount ${line}`);
}

async function devices(daemon: TestDaemon): Promise<string[]> {
  const { stdout } = await runCommand("ip", ["-o", "link"]);
  const names = [...Object.keys(networkInterfaces()), ...stdout.split("\n")];
  // Its plugin leaves the bridge, without ports.
  const stays = (name: string): boolean =>
    daemon.network === "cni" && (name === daemon.bridge || name.includes(` ${daemon.bridge}: `));
  return names.filter((name) => name.includes(daemon.name) && !stays(name)).map((name) => `device ${name}`);
}

async function cgroups(daemon: TestDaemon): Promise<string[]> {
  const { stdout } = await runCommand("find", ["/sys/fs/cgroup", "-type", "d", "-name", `${daemon.name}*`]);
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => `cgroup ${line}`);
}

async function tables(daemon: TestDaemon): Promise<string[]> {
  const { stdout } = await runCommand("nft", ["list", "tables"]);
  return stdout
    .split("\n")
    .filter((line) => line.includes(daemon.name))
    .map((line) => `nftables ${line}`);
}

/** Listening ones, and those of connections, by path. */
async function sockets(daemon: TestDaemon): Promise<string[]> {
  const text = await readFile("/proc/net/unix", "utf8");
  return text
    .split("\n")
    .filter((line) => line.includes(daemon.directory))
    .map((line) => `socket ${line.slice(line.indexOf("/"))}`);
}

async function files(daemon: TestDaemon): Promise<string[]> {
  const places = EMPTY_AT_REST.map(async (place) => {
    const names = await readdir(daemon.path(place)).catch(() => []);
    return names.map((name) => `file ${place}/${name}`);
  });
  return (await Promise.all(places)).flat();
}
