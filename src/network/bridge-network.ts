/**
 * The embedded network: pods on one bridge of the host, with addresses of its own subnet, masqueraded to the outside
 * and reachable by port mappings. All of it is netlink messages; no plugin process, no external tool.
 *
 *   lease (record) ──▶ veth pair + addresses (pod-link.ts) ──▶ result
 *          └────────▶ port mappings (bridge-firewall.ts)
 *
 * The lease is written before anything is made and deleted after everything is gone: what a crash leaves is found by
 * `collect` through its lease, or as a port of the bridge that no lease knows.
 */
import { closeSync, constants, openSync } from "node:fs";
import { CleanupStack, runAll } from "../base/cleanup.ts";
import { errnoCode, errorMessage, GantryError, wrapError } from "../base/errors.ts";
import { failpoint } from "../base/failpoint.ts";
import type { Logger } from "../base/logger.ts";
import { KeyedMutex } from "../base/mutex.ts";
import { linkExists, NETLINK_ROUTE } from "../native/netlink.ts";
import { deleteBridge, ensureBridge, listBridgePorts, type BridgeDevice } from "./bridge-device.ts";
import { BridgeFirewall, firewallTableName } from "./bridge-firewall.ts";
import { BridgeLeases, type LeaseTable } from "./bridge-leases.ts";
import { forgetUdpFlows } from "./conntrack.ts";
import { formatIp, parseSubnet, subnetSize, type IpAddress, type IpSubnet } from "./ip-address.ts";
import { deleteLink } from "./link-message.ts";
import { exchange } from "../netlink/netlink-exchange.ts";
import { createPodLink, deletePodLink, POD_INTERFACE, podLinkName, reattachPodLinks } from "./pod-link.ts";
import type { PodNetwork, PodNetworkRequest, PodNetworkResult, PortMapping } from "./pod-network.ts";

export interface BridgeNetworkOptions {
  /** Name of the bridge device: "gantry0". At most 15 bytes. */
  bridge: string;
  /** IPv4: "10.88.0.0/16". The first host is the gateway. */
  subnet: string;
  /** IPv6, a unique local one: "fd00:88::/64". Absent: pods have IPv4 only. */
  subnet6?: string;
  /** Names the nftables table `gantry-INSTANCE`, and marks the bridge as this daemon's. */
  instance: string;
  /** Absent: that of the device with the host's default route. */
  mtu?: number;
  /** How often bridge and firewall are looked after. Absent: every 30 seconds. */
  repairMs?: number;
  /** Where the leases are kept: a table of the record store. */
  leases: LeaseTable;
  log: Logger;
}

const REPAIR_MS = 30_000;

/** What the kernel says to a port of a bridge that somebody has deleted: it is made anew, once. */
const BRIDGE_GONE = new Set(["ENODEV", "EINVAL"]);

/** @throws GantryError invalid-argument for options that are not valid. Touches nothing before the first use. */
export function createBridgeNetwork(options: BridgeNetworkOptions): PodNetwork {
  return new BridgeNetwork(options);
}

class BridgeNetwork implements PodNetwork {
  readonly name = "embedded";
  readonly #options: BridgeNetworkOptions;
  readonly #subnets: readonly IpSubnet[];
  readonly #leases: BridgeLeases;
  readonly #firewall: BridgeFirewall;
  readonly #pods = new KeyedMutex();
  readonly #log: Logger;
  #bridge: Promise<BridgeDevice> | undefined;
  #failure: string | undefined;
  #watch: NodeJS.Timeout | undefined;
  readonly #background = new Set<Promise<void>>();

  constructor(options: BridgeNetworkOptions) {
    this.#options = options;
    this.#log = options.log;
    if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/.test(options.bridge)) {
      throw new GantryError("invalid-argument", `bridge name ${JSON.stringify(options.bridge)} is not valid`);
    }
    this.#subnets = parseSubnets(options);
    this.#leases = new BridgeLeases(this.#subnets, options.leases);
    this.#firewall = new BridgeFirewall({
      table: firewallTableName(options.instance),
      bridge: options.bridge,
      subnets: this.#subnets,
      elements: () => this.#leases.elements(),
    });
  }

  status(): { ready: boolean; reason: string; message: string } {
    if (this.#failure === undefined) return { ready: true, reason: "", message: "" };
    return { ready: false, reason: "BridgeNotReady", message: this.#failure };
  }

  async setup(request: PodNetworkRequest, signal: AbortSignal): Promise<PodNetworkResult> {
    const { podSandboxId } = request;
    return this.#pods.run(podSandboxId, signal, async () => {
      try {
        return await this.#setup(request, signal).catch((error: unknown) => {
          if (!BRIDGE_GONE.has(errnoCode(error) ?? "")) throw error;
          this.#bridge = undefined;
          return this.#setup(request, signal);
        });
      } catch (error) {
        throw wrapError(`network of pod sandbox "${podSandboxId}"`, error);
      }
    });
  }

  async teardown(request: PodNetworkRequest, _state: unknown, signal: AbortSignal): Promise<void> {
    await this.#pods.run(request.podSandboxId, signal, () => this.#teardown(request.podSandboxId));
  }

  async collect(podSandboxIds: ReadonlySet<string>): Promise<void> {
    const signal = new AbortController().signal;
    const gone = this.#leases.ids().filter((id) => !podSandboxIds.has(id));
    await runAll(
      gone.map((id) => ({
        name: "release the network of a pod that is gone",
        step: () => this.#pods.run(id, signal, () => this.#teardown(id)),
      })),
    );
    const known = new Set(this.#leases.ids().map(podLinkName));
    const stray = (await listBridgePorts(this.#options.bridge)).filter(({ name }) => !known.has(name));
    await runAll(
      stray.map(({ name }) => ({
        name: `delete device "${name}" of no pod`,
        step: async () => {
          await exchange({ protocol: NETLINK_ROUTE, messages: [deleteLink(name)], accept: ["ENODEV"] });
        },
      })),
    );
    if (gone.length + stray.length > 0) {
      this.#log.info(
        { pods: gone, devices: stray.map(({ name }) => name) },
        "collected networks of pods that are gone",
      );
    }
    if (known.size > 0) await this.#ready();
  }

  async setPodCidrs(podCidrs: readonly string[]): Promise<void> {
    const { subnet, subnet6 } = this.#options;
    this.#log.info({ podCidrs, subnet, subnet6 }, "the embedded network keeps its own subnets");
  }

  async close(): Promise<void> {
    clearInterval(this.#watch);
    this.#watch = undefined;
    await Promise.allSettled([this.#bridge, ...this.#background]);
    if (this.#leases.ids().length > 0) return;
    this.#bridge = undefined;
    await this.#firewall.delete();
    await deleteBridge(this.#options.bridge, this.#options.instance);
  }

  async #setup(request: PodNetworkRequest, signal: AbortSignal): Promise<PodNetworkResult> {
    const { podSandboxId, portMappings } = request;
    const bridge = await this.#ready();
    signal.throwIfAborted();
    const netnsFd = openNamespace(request.netnsPath);
    try {
      await using cleanup = new CleanupStack((name, error) =>
        this.#log.warn({ podSandboxId, error: errorMessage(error) }, `${name} failed`),
      );
      // A repeated set-up starts anew, with the same address.
      const before = this.#leases.hostOf(podSandboxId);
      if (before !== undefined) await this.#teardown(podSandboxId);
      const { addresses, elements } = this.#leases.acquire(podSandboxId, portMappings, before);
      failpoint("bridge-setup:lease");
      cleanup.push("tear down network", () => this.#teardown(podSandboxId));
      const link = { podSandboxId, bridge, netnsFd, addresses, subnets: this.#subnets };
      const done = await Promise.allSettled([createPodLink(link, signal), this.#firewall.add(elements)]);
      for (const outcome of done) if (outcome.status === "rejected") throw outcome.reason;
      failpoint("bridge-setup:link");
      await this.#forgetFlows(portMappings, addresses);
      signal.throwIfAborted();
      cleanup.disarm();
      return { ips: addresses.map(formatIp), interfaceName: POD_INTERFACE, state: null };
    } finally {
      closeSync(netnsFd);
    }
  }

  /** The lease goes last, and stays when something fails, so that it is tried again. */
  async #teardown(podSandboxId: string): Promise<void> {
    const { elements, ports, addresses } = this.#leases.suspend(podSandboxId);
    const done = await Promise.allSettled([
      deletePodLink(podSandboxId, (rest) => this.#follow(rest)),
      this.#firewall.remove(elements),
    ]);
    for (const outcome of done) {
      if (outcome.status === "rejected")
        throw wrapError(`network of pod sandbox "${podSandboxId}"`, outcome.reason);
    }
    failpoint("bridge-teardown:link");
    await this.#forgetFlows(ports, addresses);
    this.#leases.release(podSandboxId);
    failpoint("bridge-teardown:lease");
  }

  /** Best effort: without it only clients that never pause are misled. */
  async #forgetFlows(mappings: readonly PortMapping[], addresses: readonly IpAddress[]): Promise<void> {
    const hostPorts = mappings.filter(({ protocol }) => protocol === "udp").map(({ hostPort }) => hostPort);
    try {
      await forgetUdpFlows(hostPorts, addresses);
    } catch (error) {
      this.#log.warn({ hostPorts, error: errorMessage(error) }, "forgetting tracked UDP flows failed");
    }
  }

  /** `nft flush ruleset` and firewall reloads take the table away, some other tool the bridge; they come back. */
  async #repair(): Promise<void> {
    try {
      if (this.#failure !== undefined || !linkExists(this.#options.bridge)) {
        this.#bridge = undefined;
        await this.#ready();
        return;
      }
      if (await this.#firewall.repair()) this.#log.warn({}, "made the deleted nftables table anew");
    } catch (error) {
      this.#log.warn({ error: errorMessage(error) }, "checking bridge and nftables table failed");
    }
  }

  /** What still goes on after a teardown; close() waits for it. */
  #follow(rest: Promise<void>): void {
    this.#background.add(rest);
    const forget = (): void => void this.#background.delete(rest);
    rest.then(forget, forget);
  }

  /** Once; again after a failure. */
  async #ready(): Promise<BridgeDevice> {
    this.#bridge ??= this.#prepare();
    const attempt = this.#bridge;
    try {
      return await attempt;
    } catch (error) {
      if (this.#bridge === attempt) this.#bridge = undefined;
      throw error;
    }
  }

  async #prepare(): Promise<BridgeDevice> {
    const { bridge, instance, mtu } = this.#options;
    // Also after a failure: a kubelet sends no pod to a network that is not ready.
    this.#watch ??= setInterval(() => void this.#repair(), this.#options.repairMs ?? REPAIR_MS).unref();
    try {
      const device = await ensureBridge({ bridge, instance, mtu, subnets: this.#subnets, log: this.#log });
      const reattached = await reattachPodLinks(this.#leases.ids(), device);
      if (reattached > 0) this.#log.warn({ bridge, reattached }, "connected pods to the bridge again");
      await this.#firewall.rebuild();
      for (const chain of await this.#firewall.foreignDrops()) {
        this.#log.warn(
          { bridge, chain },
          "a firewall chain drops forwarded packets: pods need a rule there that accepts them",
        );
      }
      this.#failure = undefined;
      return device;
    } catch (error) {
      this.#failure = errorMessage(error);
      throw error;
    }
  }
}

function openNamespace(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const kind = errnoCode(error) === "ENOENT" ? "not-found" : "internal";
    throw wrapError("network namespace", error, kind);
  }
}

function parseSubnets(options: BridgeNetworkOptions): IpSubnet[] {
  const subnets = [parseSubnet(options.subnet)];
  if (options.subnet6 !== undefined) subnets.push(parseSubnet(options.subnet6));
  for (const [i, subnet] of subnets.entries()) {
    const text = i === 0 ? options.subnet : options.subnet6;
    if (subnet.family !== (i === 0 ? 4 : 6)) {
      throw new GantryError("invalid-argument", `subnet ${text} is not of IPv${i === 0 ? 4 : 6}`);
    }
    if (subnetSize(subnet) < 4n || subnet.prefixLength < 8) {
      throw new GantryError(
        "invalid-argument",
        `subnet ${text} has a prefix outside of /8 to /${i === 0 ? 30 : 126}`,
      );
    }
  }
  return subnets;
}
