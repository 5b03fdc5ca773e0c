/**
 * The nftables table of one embedded bridge, `inet gantry-INSTANCE`: port mappings, masquerading, and a guard of the
 * host's loopback. The rules never change; pods come and go as elements of four maps, each in one atomic batch.
 *
 *   guard        prerouting, raw       from the bridge to or from 127.0.0.0/8: drop (CVE-2020-8558)
 *   prerouting   nat, dstnat           to the host, but not to 127.0.0.0/8 → ports4, ports6
 *   output       nat, dstnat           to the host → ports4, ports6 (not for ::1, which cannot leave the loopback)
 *   ports4       protocol . address . port @ports4 → dnat;  protocol . port @ports4any → dnat
 *   postrouting  nat, srcnat           from a pod to outside; to a pod by a mapping from a pod or from 127.0.0.0/8:
 *                                      masquerade
 *
 * Only what is for this host is translated: a mapping of a foreign address would take others' traffic to it. Neighbours
 * send to 127.0.0.1 in vain, as without us: a translation would spare their packets the kernel's check.
 *
 * The table is always replaced whole when it is not as expected (`nft flush ruleset` by somebody else, a crash):
 * connections that are translated already go on, as the kernel tracks them apart from the rules.
 */
import { close } from "node:fs";
import { GantryError } from "../base/errors.ts";
import { KeyedMutex } from "../base/mutex.ts";
import { NETLINK_NETFILTER, openNetlinkSocket } from "../native/netlink.ts";
import { ipBytes, type IpFamily, type IpSubnet } from "./ip-address.ts";
import { exchange, NetlinkError } from "../netlink/netlink-exchange.ts";
import type { NetlinkMessage, NetlinkReply } from "../netlink/netlink-message.ts";
import {
  compare,
  destinationNat,
  drop,
  jump,
  loadDestinationPort,
  loadIpAddress,
  loadMeta,
  lookupMap,
  masquerade,
  matchDestinationRewritten,
  matchFamily,
  matchInterface,
  matchLocalDestination,
  matchSubnet,
  type Expression,
} from "./nftables-expression.ts";
import {
  droppingForwardChains,
  nftAddChain,
  nftAddElements,
  nftAddMap,
  nftAddRule,
  nftAddTable,
  nftBatch,
  nftDeleteElements,
  nftDeleteTable,
  nftGetTable,
  nftListChains,
  type NftElement,
  type NftMap,
} from "./nftables-message.ts";

/** One element of one map. */
export interface PortElement extends NftElement {
  map: MapName;
}

export const PORT_MAPS = {
  ports4: { name: "ports4", id: 1, key: ["protocol", "ipv4", "port"], data: ["ipv4", "port"] },
  ports4any: { name: "ports4any", id: 2, key: ["protocol", "port"], data: ["ipv4", "port"] },
  ports6: { name: "ports6", id: 3, key: ["protocol", "ipv6", "port"], data: ["ipv6", "port"] },
  ports6any: { name: "ports6any", id: 4, key: ["protocol", "port"], data: ["ipv6", "port"] },
} as const satisfies Record<string, NftMap>;

export type MapName = keyof typeof PORT_MAPS;

const PRIORITY = { raw: -300, dstnat: -100, srcnat: 100 } as const;
const LOOPBACK4: IpSubnet = { family: 4, base: 0x7f000000n, prefixLength: 8 };

/** Errnos that mean that the table is not as expected: gone, or with other elements. */
const DRIFTED = new Set(["ENOENT", "EEXIST", "EBUSY"]);

export interface FirewallOptions {
  table: string;
  bridge: string;
  subnets: readonly IpSubnet[];
  /** The elements that should be in place now, asked for whenever the table is made anew. */
  elements: () => PortElement[];
}

export class BridgeFirewall {
  readonly #options: FirewallOptions;
  readonly #mutex = new KeyedMutex();
  #socket: number | undefined;

  constructor(options: FirewallOptions) {
    this.#options = options;
  }

  /** Makes the table anew in one transaction, with exactly the elements that should be in place. */
  async rebuild(): Promise<void> {
    await this.#exclusively(() => this.#rebuild());
  }

  /** Adds a pod's elements; `elements()` must hold them already. */
  async add(elements: readonly PortElement[]): Promise<void> {
    await this.#change(elements, nftAddElements);
  }

  /** Deletes a pod's elements; `elements()` must not hold them any more. */
  async remove(elements: readonly PortElement[]): Promise<void> {
    await this.#change(elements, nftDeleteElements);
  }

  /** Chains of others that drop what is forwarded unless a rule of theirs accepts it; ours cannot overrule them. */
  async foreignDrops(): Promise<string[]> {
    return this.#exclusively(async () => droppingForwardChains(await this.#send([nftListChains()])));
  }

  /** Makes the table anew if somebody has deleted it. Resolves to whether that was so. */
  async repair(): Promise<boolean> {
    return this.#exclusively(async () => {
      try {
        await this.#send([nftGetTable(this.#options.table)]);
        return false;
      } catch (error) {
        if (!(error instanceof NetlinkError) || error.code !== "ENOENT") throw error;
      }
      await this.#rebuild();
      return true;
    });
  }

  /** Deletes the table with all in it, and gives up the socket. A table that is not there is no error. */
  async delete(): Promise<void> {
    const { table } = this.#options;
    await this.#exclusively(async () => {
      await this.#send(nftBatch([nftAddTable(table), nftDeleteTable(table)]));
      this.#closeSocket();
    });
  }

  async #change(elements: readonly PortElement[], encode: typeof nftAddElements): Promise<void> {
    if (elements.length === 0) return;
    const { table } = this.#options;
    const messages = Object.values(PORT_MAPS).flatMap(({ name }) =>
      encode(
        table,
        name,
        elements.filter(({ map }) => map === name),
      ),
    );
    await this.#exclusively(async () => {
      try {
        await this.#send(nftBatch(messages));
      } catch (error) {
        if (!(error instanceof NetlinkError) || !DRIFTED.has(error.code)) throw error;
        await this.#rebuild();
      }
    });
  }

  async #rebuild(): Promise<void> {
    const { table, bridge, subnets } = this.#options;
    const elements = this.#options.elements();
    const messages = [
      nftAddTable(table),
      nftDeleteTable(table),
      nftAddTable(table),
      ...Object.values(PORT_MAPS).map((map) => nftAddMap(table, map)),
      ...firewallRules(table, bridge, subnets),
      ...Object.values(PORT_MAPS).flatMap(({ name }) =>
        nftAddElements(
          table,
          name,
          elements.filter(({ map }) => map === name),
        ),
      ),
    ];
    await this.#send(nftBatch(messages));
  }

  /** One socket for all: the kernel makes who closes one wait for the memory of what was deleted, some 15 ms. */
  async #send(messages: readonly NetlinkMessage[]): Promise<NetlinkReply[]> {
    const socket = (this.#socket ??= openNetlinkSocket(NETLINK_NETFILTER));
    try {
      return await exchange({ protocol: NETLINK_NETFILTER, socket, messages });
    } catch (error) {
      // It may still hold replies.
      if (!(error instanceof NetlinkError)) this.#closeSocket();
      throw error;
    }
  }

  #closeSocket(): void {
    if (this.#socket !== undefined) close(this.#socket, () => undefined);
    this.#socket = undefined;
  }

  /** In turn, so that a table made anew and a change to it do not overtake each other. */
  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    return this.#mutex.run("", new AbortController().signal, work);
  }
}

/** Chains and rules, in the order of the drawing above. */
function firewallRules(table: string, bridge: string, subnets: readonly IpSubnet[]): NetlinkMessage[] {
  const rule = (chain: string, ...parts: (Expression | Expression[])[]): NetlinkMessage =>
    nftAddRule(table, chain, parts.flat());
  const fromBridge = matchInterface("iifname", "==", bridge);
  const toBridge = matchInterface("oifname", "==", bridge);
  const loopback = subnetMatcher(LOOPBACK4);
  return [
    nftAddChain(table, "guard", { type: "filter", hook: "prerouting", priority: PRIORITY.raw }),
    rule("guard", fromBridge, matchFamily(4), matchSubnet("destination", "==", loopback), drop()),
    rule("guard", fromBridge, matchFamily(4), matchSubnet("source", "==", loopback), drop()),
    ...([4, 6] as const).flatMap((family) => [
      nftAddChain(table, `ports${family}`),
      rule(`ports${family}`, translateAddressed(family)),
      rule(`ports${family}`, translateAny(family)),
    ]),
    nftAddChain(table, "prerouting", { type: "nat", hook: "prerouting", priority: PRIORITY.dstnat }),
    rule(
      "prerouting",
      matchFamily(4),
      matchSubnet("destination", "!=", loopback),
      matchLocalDestination(),
      jump("ports4"),
    ),
    rule("prerouting", matchFamily(6), matchLocalDestination(), jump("ports6")),
    nftAddChain(table, "output", { type: "nat", hook: "output", priority: PRIORITY.dstnat }),
    rule("output", matchFamily(4), matchLocalDestination(), jump("ports4")),
    rule(
      "output",
      matchFamily(6),
      loadIpAddress("destination", 6),
      compare("!=", ipBytes({ family: 6, value: 1n })),
      matchLocalDestination(),
      jump("ports6"),
    ),
    nftAddChain(table, "postrouting", { type: "nat", hook: "postrouting", priority: PRIORITY.srcnat }),
    ...subnets.flatMap((subnet) => {
      const inside = subnetMatcher(subnet);
      const fromPod = [...matchFamily(subnet.family), ...matchSubnet("source", "==", inside)];
      return [
        rule(
          "postrouting",
          fromPod,
          matchInterface("oifname", "!=", bridge),
          matchSubnet("destination", "!=", inside),
          masquerade(),
        ),
        rule("postrouting", fromPod, toBridge, matchDestinationRewritten(), masquerade()),
      ];
    }),
    rule(
      "postrouting",
      matchFamily(4),
      matchSubnet("source", "==", loopback),
      toBridge,
      matchDestinationRewritten(),
      masquerade(),
    ),
  ];
}

function translateAddressed(family: IpFamily): Expression[] {
  const { name, id } = family === 4 ? PORT_MAPS.ports4 : PORT_MAPS.ports6;
  return [
    ...matchFamily(family),
    loadMeta("l4proto", 0),
    loadIpAddress("destination", family, 1),
    loadDestinationPort(family === 4 ? 2 : 5),
    lookupMap(name, id),
    destinationNat(family),
  ];
}

function translateAny(family: IpFamily): Expression[] {
  const { name, id } = family === 4 ? PORT_MAPS.ports4any : PORT_MAPS.ports6any;
  return [loadMeta("l4proto", 0), loadDestinationPort(1), lookupMap(name, id), destinationNat(family)];
}

function subnetMatcher(subnet: IpSubnet): { family: IpFamily; bytes: Uint8Array; prefixLength: number } {
  const { family, base, prefixLength } = subnet;
  return { family, bytes: ipBytes({ family, value: base }), prefixLength };
}

/** The name of an instance's table. @throws GantryError invalid-argument. */
export function firewallTableName(instance: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/.test(instance)) {
    throw new GantryError("invalid-argument", `instance name ${JSON.stringify(instance)} is not valid`);
  }
  return `gantry-${instance}`;
}
