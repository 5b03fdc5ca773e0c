/**
 * The bridge itself, made once for an instance: device, gateway addresses, forwarding. A bridge that is there already
 * is taken over if it is this instance's (its alias says so); a subnet that the host uses elsewhere is refused.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { GantryError, wrapError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import { NETLINK_ROUTE, writeSysctls, type SysctlWrite } from "../native/netlink.ts";
import {
  addAddress,
  decodeAddresses,
  decodeRoutes,
  describeRoute,
  listAddresses,
  listRoutes,
  type Route,
} from "./address-message.ts";
import { formatIp, formatSubnet, subnetAddress, subnetContains, type IpSubnet } from "./ip-address.ts";
import {
  bringLinkUp,
  createBridge,
  decodeLinks,
  deleteLink,
  listLinks,
  setAddressless,
  setLinkAlias,
  type Link,
} from "./link-message.ts";
import { exchange } from "../netlink/netlink-exchange.ts";

export interface BridgeOptions {
  bridge: string;
  instance: string;
  /** The IPv4 one, then the IPv6 one if there is one. */
  subnets: readonly IpSubnet[];
  /** Undefined: that of the device with the default route, else 1500. */
  mtu: number | undefined;
  log: Logger;
}

export interface BridgeDevice {
  index: number;
  mtu: number;
}

const RT_TABLE_MAIN = 254;
const RTN_UNICAST = 1;
const DEFAULT_MTU = 1500;

/** Index of the gateway in its subnet: the first host. */
export const GATEWAY_HOST = 1;

/**
 * Creates the bridge or takes over the instance's own, and turns forwarding on.
 *
 * @throws GantryError failed-precondition when the name or a subnet is in use by something else.
 */
export async function ensureBridge(options: BridgeOptions): Promise<BridgeDevice> {
  const { bridge, instance, subnets, log } = options;
  const links = decodeLinks(await exchange({ protocol: NETLINK_ROUTE, messages: [listLinks()] }));
  let link = links.find(({ name }) => name === bridge);
  if (link && !isOwn(link, options)) {
    const owner = link.alias ? ` of "${link.alias}"` : "";
    throw new GantryError(
      "failed-precondition",
      `network device "${bridge}" exists and is not this instance's bridge${owner}`,
    );
  }
  const routes = await checkSubnets(options, links);
  if (!link) {
    const mtu = options.mtu ?? defaultMtu(routes, links);
    // Alone: what follows a refused message in a batch is carried out, here on somebody else's bridge.
    await exchange({ protocol: NETLINK_ROUTE, messages: [createBridge(bridge, bridgeMac(options), mtu)] });
    link = await findBridge(bridge);
    log.info({ bridge, subnets: subnets.map(formatSubnet), mtu }, "created bridge");
  }
  const { index } = link;
  const dual = subnets.some(({ family }) => family === 6);
  const sysctls: SysctlWrite[] = [[`net/ipv4/conf/${bridge}/route_localnet`, "1"]];
  if (kernelHasIpv6()) sysctls.push([`net/ipv6/conf/${bridge}/accept_ra`, "0"]);
  await exchange({
    protocol: NETLINK_ROUTE,
    sysctls,
    messages: [
      setLinkAlias(bridge, bridgeAlias(instance)),
      ...(kernelHasIpv6() && !dual ? [setAddressless({ index })] : []),
      bringLinkUp({ index }),
      ...subnets.map((subnet) => addAddress(index, subnetAddress(subnet, GATEWAY_HOST), subnet)),
    ],
  });
  await turnOnForwarding("net/ipv4/ip_forward", log);
  if (dual) await turnOnForwarding("net/ipv6/conf/all/forwarding", log);
  return { index, mtu: options.mtu ?? link.mtu };
}

/** The veth devices that are ports of the bridge; none when there is no bridge. */
export async function listBridgePorts(bridge: string): Promise<Link[]> {
  const links = decodeLinks(await exchange({ protocol: NETLINK_ROUTE, messages: [listLinks()] }));
  const index = links.find(({ name }) => name === bridge)?.index;
  return links.filter(({ kind, master }) => index !== undefined && kind === "veth" && master === index);
}

/** Deletes the instance's bridge; another device of that name stays. Forwarding stays on: others may rely on it. */
export async function deleteBridge(bridge: string, instance: string): Promise<void> {
  const links = decodeLinks(await exchange({ protocol: NETLINK_ROUTE, messages: [listLinks()] }));
  if (!links.some((link) => link.name === bridge && isOwn(link, { bridge, instance }))) return;
  await exchange({ protocol: NETLINK_ROUTE, messages: [deleteLink(bridge)], accept: ["ENODEV"] });
}

async function findBridge(bridge: string): Promise<Link> {
  const links = decodeLinks(await exchange({ protocol: NETLINK_ROUTE, messages: [listLinks()] }));
  const link = links.find(({ name }) => name === bridge);
  if (!link) throw new GantryError("unavailable", `bridge "${bridge}" has vanished`);
  return link;
}

/** @throws GantryError failed-precondition for an address or a direct route of another device within a subnet. */
async function checkSubnets(options: BridgeOptions, links: readonly Link[]): Promise<Route[]> {
  const { bridge, subnets, log } = options;
  const own = links.find(({ name }) => name === bridge)?.index;
  const nameOf = (index: number): string => links.find((link) => link.index === index)?.name ?? "no device";
  const addresses = decodeAddresses(await exchange({ protocol: NETLINK_ROUTE, messages: [listAddresses()] }));
  const routes = decodeRoutes(await exchange({ protocol: NETLINK_ROUTE, messages: [listRoutes()] }));
  for (const subnet of subnets) {
    for (const { address, linkIndex } of addresses) {
      if (linkIndex === own || !subnetContains(subnet, address)) continue;
      const where = `${formatIp(address)} of "${nameOf(linkIndex)}"`;
      throw new GantryError(
        "failed-precondition",
        `subnet ${formatSubnet(subnet)} of bridge "${bridge}" holds the host's address ${where}`,
      );
    }
    for (const route of routes) {
      const { destination, linkIndex, gateway, table, type } = route;
      if (
        linkIndex === own ||
        table !== RT_TABLE_MAIN ||
        type !== RTN_UNICAST ||
        destination.prefixLength === 0
      )
        continue;
      const within = subnetContains(subnet, { family: destination.family, value: destination.base });
      const around = subnetContains(destination, { family: subnet.family, value: subnet.base });
      if (!within && !around) continue;
      const text = `the host's route ${describeRoute(route)} of "${nameOf(linkIndex)}"`;
      if (!within && gateway) {
        log.warn({ bridge, subnet: formatSubnet(subnet) }, `the bridge's subnet hides a part of ${text}`);
        continue;
      }
      throw new GantryError(
        "failed-precondition",
        `subnet ${formatSubnet(subnet)} of bridge "${bridge}" overlaps ${text}`,
      );
    }
  }
  return routes;
}

function defaultMtu(routes: readonly Route[], links: readonly Link[]): number {
  const route = routes.find(
    ({ destination, table }) => destination.prefixLength === 0 && table === RT_TABLE_MAIN,
  );
  return links.find(({ index }) => index === route?.linkIndex)?.mtu ?? DEFAULT_MTU;
}

async function turnOnForwarding(path: string, log: Logger): Promise<void> {
  try {
    if (readFileSync(`/proc/sys/${path}`, "latin1").trim() === "1") return;
    await writeSysctls(undefined, [[path, "1"]]);
  } catch (error) {
    throw wrapError("turn on forwarding", error);
  }
  log.info({ sysctl: path }, "turned on forwarding for pod networks; it stays on");
}

/** By its alias, or, if a crash came before that, by its hardware address. */
function isOwn({ kind, alias, mac }: Link, owner: Pick<BridgeOptions, "bridge" | "instance">): boolean {
  if (kind !== "bridge") return false;
  return alias === "" ? Buffer.from(mac).equals(bridgeMac(owner)) : alias === bridgeAlias(owner.instance);
}

function bridgeAlias(instance: string): string {
  return `gantry ${instance}`;
}

/** Fixed, for a bridge without one takes that of its lowest port, and changes it as pods come and go. */
function bridgeMac({ bridge, instance }: Pick<BridgeOptions, "bridge" | "instance">): Uint8Array {
  return localMac(createHash("sha256").update(`${instance}/${bridge}`).digest());
}

/** A locally administered unicast address of the first bytes of a hash. */
export function localMac(hash: Uint8Array): Uint8Array {
  return Uint8Array.of(0x02, ...hash.subarray(0, 5));
}

/** False where IPv6 is compiled out or disabled at boot. */
export function kernelHasIpv6(): boolean {
  return existsSync("/proc/sys/net/ipv6");
}
