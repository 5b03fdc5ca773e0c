/**
 * CNI networks for tests without root: plugins that are shell scripts, which record how they were called, and do what
 * the test says. Everything below a directory of its own.
 */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { silentLogger } from "../base/logger.ts";
import { createCniNetwork, type CniNetworkOptions } from "./cni-network.ts";
import type { CniPodRecord } from "./cni-records.ts";
import { isJsonObject, type JsonObject } from "./json-value.ts";
import type { PodNetwork, PodNetworkRequest } from "./pod-network.ts";

export const never: AbortSignal = new AbortController().signal;

/** Of whoever reads it: a namespace that is there. */
const SOME_NETNS = "/proc/self/ns/net";

const VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/** What a plugin was told. */
export interface PluginCall {
  type: string;
  command: string;
  containerId: string;
  netns: string;
  ifName: string;
  args: string;
  path: string;
  input: JsonObject;
}

export const RESULT = {
  cniVersion: "1.1.0",
  interfaces: [{ name: "eth0", sandbox: SOME_NETNS }],
  ips: [
    { address: "10.9.0.7/24", interface: 0 },
    { address: "fd09::7/64", interface: 0 },
  ],
};

export class CniFixture {
  readonly directory = mkdtempSync(join(tmpdir(), "gantry-cni-"));
  readonly confDirectory = join(this.directory, "net.d");
  readonly pluginDirectory = join(this.directory, "bin");
  readonly cacheDirectory = join(this.directory, "cache");
  readonly records = new Map<string, CniPodRecord>();
  podCidrs: string[] | undefined;
  readonly #networks: PodNetwork[] = [];

  constructor() {
    for (const path of [this.confDirectory, this.pluginDirectory]) mkdirSync(path);
    writeFileSync(join(this.directory, "calls"), "");
  }

  network(more: Partial<CniNetworkOptions> = {}): PodNetwork {
    const { records } = this;
    const network = createCniNetwork({
      confDirectory: this.confDirectory,
      pluginDirectories: [join(this.directory, "no-such-directory"), this.pluginDirectory],
      cacheDirectory: this.cacheDirectory,
      netnsDirectory: "",
      maxNetworks: 1,
      confTemplate: "",
      pluginTimeoutMs: 20_000,
      records: {
        get: (id) => records.get(id),
        put: (id, record) => void records.set(id, record),
        delete: (id) => void records.delete(id),
        list: () => [...records].map(([id, record]) => ({ id, record })),
      },
      podCidrs: { get: () => this.podCidrs, put: (_id, podCidrs) => void (this.podCidrs = podCidrs) },
      log: silentLogger,
      ...more,
    });
    this.#networks.push(network);
    return network;
  }

  /** Plugins of these names. Each prints a result at ADD. */
  plugins(...types: string[]): void {
    for (const type of types) {
      const script = `#!/bin/sh
input=$(cat /dev/stdin)
printf '%s\\t%s\\t%s\\t%s\\t%s\\t%s\\t%s\\t%s\\n' ${type} "$CNI_COMMAND" "$CNI_CONTAINERID" "$CNI_NETNS" "$CNI_IFNAME" \\
  "$CNI_ARGS" "$CNI_PATH" "$input" >> ${this.directory}/calls
[ -e ${this.directory}/${type}.$CNI_COMMAND ] && . ${this.directory}/${type}.$CNI_COMMAND
case $CNI_COMMAND in
  ADD) echo '${JSON.stringify(RESULT)}' ;;
  VERSION) echo '{"cniVersion":"1.1.0","supportedVersions":${JSON.stringify(VERSIONS)}}' ;;
esac
`;
      const path = join(this.pluginDirectory, type);
      writeFileSync(path, script);
      chmodSync(path, 0o755);
    }
  }

  /** What the plugin does at a command, before what it does anyway: lines of sh; undefined: nothing more. */
  does(type: string, command: string, lines: string | undefined): void {
    const path = join(this.directory, `${type}.${command}`);
    if (lines === undefined) rmSync(path, { force: true });
    else writeFileSync(path, `${lines}\n`);
  }

  conf(name: string, value: object | string): void {
    mkdirSync(this.confDirectory, { recursive: true });
    const text = typeof value === "string" ? value : JSON.stringify(value);
    writeFileSync(join(this.confDirectory, name), text);
  }

  /** A list of the plugins "first" and "second", without GC. */
  list(more: object = {}): object {
    const plugins = [
      { type: "first", key: "value" },
      { type: "second", capabilities: { portMappings: true, dns: true } },
    ];
    return { cniVersion: "1.1.0", name: "net-a", disableGC: true, plugins, ...more };
  }

  calls(): PluginCall[] {
    const lines = readFileSync(join(this.directory, "calls"), "utf8").split("\n").slice(0, -1);
    return lines.map((line) => {
      const [
        type = "",
        command = "",
        containerId = "",
        netns = "",
        ifName = "",
        args = "",
        path = "",
        input = "{}",
      ] = line.split("\t");
      const value: unknown = JSON.parse(input || "{}");
      return {
        type,
        command,
        containerId,
        netns,
        ifName,
        args,
        path,
        input: isJsonObject(value) ? value : {},
      };
    });
  }

  /** "first ADD", "second ADD": the calls so far without STATUS, which comes when it will; forgets them. */
  takeCalls(): string[] {
    const names = this.calls().map(({ type, command }) => `${type} ${command}`);
    writeFileSync(join(this.directory, "calls"), "");
    return names.filter((name) => !name.endsWith(" STATUS"));
  }

  request(podSandboxId = "pod1", more: Partial<PodNetworkRequest> = {}): PodNetworkRequest {
    return {
      podSandboxId,
      name: "web",
      namespace: "default",
      uid: "u1",
      netnsPath: SOME_NETNS,
      portMappings: [],
      annotations: {},
      cgroupParent: "",
      dns: { servers: [], searches: [], options: [] },
      ...more,
    };
  }

  async close(): Promise<void> {
    for (const network of this.#networks) await network.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Waits until the condition holds, at most 10 seconds. */
export async function until(condition: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < 1000 && !condition(); attempt++) await setTimeout(10);
  if (!condition()) throw new Error(`still not so: ${String(condition)}`);
}
