/**
 * What the tests of real pod networks share: pinned namespaces in a directory of their own, a bridge and an instance
 * of random names and subnets, and programs run in a namespace. `close` removes all of it and checks that it is gone.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { ownNumber } from "../../test/harness/own-number.ts";
import { patient } from "../../test/harness/patience.ts";
import { silentLogger } from "../base/logger.ts";
import { pinNamespaces, unpinNamespaces } from "../native/namespace.ts";
import type { BridgeLease, LeaseTable } from "./bridge-leases.ts";
import { createBridgeNetwork, type BridgeNetworkOptions } from "./bridge-network.ts";
import type { PodNetwork, PodNetworkRequest, PortMapping } from "./pod-network.ts";

export const never: AbortSignal = new AbortController().signal;

/** A lease table that is one JSON file: enough to be found again by another process. */
export function fileLeases(path: string): LeaseTable {
  const read = (): Record<string, BridgeLease> => {
    try {
      return JSON.parse(readFileSync(path, "utf8")) as Record<string, BridgeLease>;
    } catch {
      return {};
    }
  };
  const write = (change: (all: Record<string, BridgeLease>) => void): void => {
    const all = read();
    change(all);
    // Whole or not at all, for a killed process.
    writeFileSync(`${path}.new`, JSON.stringify(all));
    renameSync(`${path}.new`, path);
  };
  return {
    put: (id, record) => write((all) => (all[id] = record)),
    delete: (id) => write((all) => delete all[id]),
    list: () => Object.entries(read()).map(([id, record]) => ({ id, record })),
  };
}

export interface TestPod {
  request: PodNetworkRequest;
  directory: string;
}

export class NetworkFixture {
  readonly directory = mkdtempSync(join(tmpdir(), "gantry-network-"));
  readonly suffix = randomBytes(3).toString("hex");
  /** Third byte of all subnets of this fixture. */
  readonly third = ownNumber("pod network", 1, 250);
  readonly bridge = `gtt${this.suffix}`;
  readonly instance = `test-${this.suffix}`;
  readonly table = `gantry-${this.instance}`;
  readonly leasesPath = join(this.directory, "leases.json");
  readonly #pods: TestPod[] = [];
  readonly #networks: PodNetwork[] = [];
  readonly #cleanups: (() => void | Promise<void>)[] = [];

  options(more: Partial<BridgeNetworkOptions> = {}): BridgeNetworkOptions {
    const { bridge, instance, third } = this;
    const leases = fileLeases(this.leasesPath);
    return { bridge, instance, subnet: `10.231.${third}.0/24`, leases, log: silentLogger, ...more };
  }

  network(more: Partial<BridgeNetworkOptions> = {}): PodNetwork {
    const network = createBridgeNetwork(this.options(more));
    this.#networks.push(network);
    return network;
  }

  async pod(portMappings: readonly PortMapping[] = []): Promise<TestPod> {
    const podSandboxId = randomBytes(32).toString("hex");
    const directory = join(this.directory, podSandboxId.slice(0, 12));
    await pinNamespaces({ directory, net: true, ipc: false, uts: false, loopback: true, sysctls: [] });
    const request: PodNetworkRequest = {
      podSandboxId,
      name: "pod",
      namespace: "default",
      uid: "uid",
      netnsPath: join(directory, "net"),
      portMappings,
      annotations: {},
      cgroupParent: "",
      dns: { servers: [], searches: [], options: [] },
    };
    const pod = { request, directory };
    this.#pods.push(pod);
    return pod;
  }

  onClose(step: () => void | Promise<void>): void {
    this.#cleanups.push(step);
  }

  /** The devices of the host that are ports of the bridge. */
  ports(): string[] {
    const { stdout } = spawnSync("ip", ["-o", "link", "show", "master", this.bridge], { encoding: "utf8" });
    return [...stdout.matchAll(/^\d+: ([^@:]+)/gm)].map((match) => match[1] as string);
  }

  /** The elements of all maps, as the nft command prints them; undefined without the table. */
  elements(): string[] | undefined {
    const run = spawnSync("nft", ["-j", "list", "table", "inet", this.table], { encoding: "utf8" });
    if (run.status !== 0) return undefined;
    const listing = JSON.parse(run.stdout) as { nftables: { map?: { name: string; elem?: unknown[] } }[] };
    return listing.nftables.flatMap(({ map }) =>
      (map?.elem ?? []).map((element) => `${map?.name} ${JSON.stringify(element)}`),
    );
  }

  async close(): Promise<void> {
    for (const step of this.#cleanups.reverse()) await step();
    const network = this.network();
    await network.collect(new Set());
    for (const { directory } of this.#pods) await unpinNamespaces(directory);
    for (const each of this.#networks) await each.close();
    assert.equal(this.elements(), undefined, "the nftables table is gone");
    assert.notEqual(spawnSync("ip", ["link", "show", this.bridge]).status, 0, "the bridge is gone");
    assert.ok(!readFileSync("/proc/self/mountinfo", "utf8").includes(this.directory), "no mount is left");
    rmSync(this.directory, { recursive: true });
  }
}

/** Runs a program in a network namespace; its standard output. Throws with its standard error when it fails. */
export function runIn(netnsPath: string | undefined, ...command: string[]): string {
  const [program = "", ...args] = netnsPath ? ["nsenter", `--net=${netnsPath}`, ...command] : command;
  const run = spawnSync(program, args, { encoding: "utf8", timeout: 20_000 });
  if (run.status !== 0) throw new Error(`${command.join(" ")}: ${run.stderr}${run.stdout}${run.error ?? ""}`);
  return run.stdout;
}

/** A TCP server in a namespace that answers "LABEL PEER-ADDRESS" to each connection; and the same for UDP packets. */
export async function serveIn(
  fixture: NetworkFixture,
  netnsPath: string | undefined,
  label: string,
  port: number,
  host = "::",
): Promise<void> {
  const script = `
    const net = require("node:net"), dgram = require("node:dgram");
    const plain = (address) => address.replace("::ffff:", "");
    const udp = dgram.createSocket(${JSON.stringify(host)} === "::" ? "udp6" : "udp4");
    udp.on("message", (_, peer) => udp.send(${JSON.stringify(label)} + " " + plain(peer.address), peer.port, peer.address));
    udp.bind(${port}, ${JSON.stringify(host)}, () =>
      net.createServer((c) => { c.on("error", () => {}); c.end(${JSON.stringify(label)} + " " + plain(c.remoteAddress)); })
        .listen(${port}, ${JSON.stringify(host)}, () => console.log("ready")));`;
  const command = [process.execPath, "-e", script];
  const [program = "", ...args] = netnsPath ? ["nsenter", `--net=${netnsPath}`, ...command] : command;
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
  fixture.onClose(() => void child.kill("SIGKILL"));
  await new Promise<void>((resolve, reject) => {
    child.stdout.once("data", () => resolve());
    child.once("exit", (code) => reject(new Error(`server "${label}" ended with ${code}`)));
  });
}

/** No server hears what is not answered for so long. */
export const NO_ANSWER_MS = 2500;

/** What such a server answers, asked from a namespace; "" when there is no answer in time. */
export function askFrom(
  netnsPath: string | undefined,
  address: string,
  port: number,
  protocol = "tcp",
  waitMs = patient(15_000),
): string {
  const target = JSON.stringify(address);
  const tcp = `require("node:net").connect(${port}, ${target}).on("data", (d) => console.log(String(d))).on("error", () => {})
    .on("end", () => process.exit());`;
  const udp = `const s = require("node:dgram").createSocket(${target}.includes(":") ? "udp6" : "udp4");
    s.on("message", (d) => { console.log(String(d)); process.exit(); });
    s.send("?", ${port}, ${target}); setInterval(() => s.send("?", ${port}, ${target}), 700);`;
  const script = `setTimeout(() => process.exit(), ${waitMs}); ${protocol === "tcp" ? tcp : udp}`;
  return runIn(netnsPath, process.execPath, "-e", script).trim();
}

/**
 * A UDP client that sends from one port every 20 ms, without end. Resolves to a function that waits until an answer
 * begins with a label.
 */
export async function talkFrom(
  fixture: NetworkFixture,
  netnsPath: string,
  address: string,
  port: number,
): Promise<(label: string) => Promise<void>> {
  const script = `const s = require("node:dgram").createSocket("udp4");
    s.on("message", (d) => console.log(String(d))).on("error", () => {});
    setInterval(() => s.send("?", ${port}, ${JSON.stringify(address)}, () => {}), 20);`;
  const child = spawn("nsenter", [`--net=${netnsPath}`, process.execPath, "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  fixture.onClose(() => void child.kill("SIGKILL"));
  let last = "";
  child.stdout.on("data", (data: Buffer) => (last = data.toString().trimEnd().split("\n").at(-1) ?? ""));
  return async (label) => {
    for (let i = 0; i < patient(1000) && !last.startsWith(label); i++) await setTimeout(20);
    assert.ok(last.startsWith(label), `the last answer is "${last}", not of "${label}"`);
  };
}
