/**
 * The network of a test daemon by Debian's CNI plugins: a bridge and subnet of its own, addresses kept below its own
 * directory. The plugins leave their bridge behind, and their chains in the nat table; both are theirs.
 */
import { mkdir, readdir, rename, writeFile } from "node:fs/promises";
import { runCommand } from "./command.ts";
import type { TestDaemon } from "./daemon.ts";

export const CNI_PLUGINS = "/usr/lib/cni";

/** The settings that go with `network: "cni"`. */
export function cniSettings(daemon: TestDaemon): string[] {
  return [
    "[cni]",
    `conf_dir = ${JSON.stringify(daemon.path("net.d"))}`,
    `bin_dirs = ${JSON.stringify([daemon.path("cni-bin"), CNI_PLUGINS])}`,
    `netns_dir = ${JSON.stringify(daemon.path("netns"))}`,
    `cache_dir = ${JSON.stringify(daemon.path("cni-cache"))}`,
  ];
}

export interface CniConfOptions {
  /** Absent: the daemon's. */
  bridge?: string;
  subnet?: string;
  subnet6?: string;
  /** Plugins after the bridge. */
  more?: object[];
  cniVersion?: string;
}

/** A network by the plugin "bridge", as clusters have it. */
export function bridgeConf(daemon: TestDaemon, options: CniConfOptions = {}): object {
  const { subnet6, more = [{ type: "portmap", capabilities: { portMappings: true } }] } = options;
  const subnets = [options.subnet ?? daemon.subnet, ...(subnet6 === undefined ? [] : [subnet6])];
  return {
    cniVersion: options.cniVersion ?? "1.0.0",
    name: daemon.name,
    plugins: [
      {
        type: "bridge",
        bridge: options.bridge ?? daemon.bridge,
        isGateway: true,
        ipMasq: true,
        hairpinMode: true,
        ipam: {
          type: "host-local",
          dataDir: daemon.path("ipam"),
          ranges: subnets.map((subnet) => [{ subnet }]),
          routes: subnets.map((subnet) => ({ dst: subnet.includes(":") ? "::/0" : "0.0.0.0/0" })),
        },
      },
      ...more,
    ],
  };
}

/** Whole or not at all, as installers of networks do. */
export async function writeConf(daemon: TestDaemon, name: string, conf: object | string): Promise<void> {
  await mkdir(daemon.path("net.d"), { recursive: true });
  const half = daemon.path("net.d", `.${name}.new`);
  await writeFile(half, typeof conf === "string" ? conf : JSON.stringify(conf));
  await rename(half, daemon.path("net.d", name));
}

/** What the plugins hold for the daemon's pods, a line each: addresses, cached results, rules. */
export async function cniHoldings(daemon: TestDaemon): Promise<string[]> {
  const leases = await filesOf(daemon.path("ipam", daemon.name));
  const results = await filesOf(daemon.path("cni-cache", "results"));
  const rules = await Promise.all(["iptables-save", "ip6tables-save"].map((tool) => runCommand(tool, [])));
  return [
    ...leases.filter((name) => !/^(lock|last_reserved_ip\.\d+)$/.test(name)).map((name) => `address ${name}`),
    ...results.map((name) => `cached result ${name}`),
    ...rules
      .flatMap(({ stdout }) => stdout.split("\n"))
      .filter((line) => line.includes(`\\"${daemon.name}\\"`))
      .map((line) => `rule ${line}`),
  ];
}

async function filesOf(path: string): Promise<string[]> {
  return readdir(path).catch(() => []);
}
