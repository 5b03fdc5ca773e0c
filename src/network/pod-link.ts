/**
 * A pod's link to the bridge: a veth pair whose one end is a port of the bridge and whose other end is `eth0` in the
 * pod's network namespace, with addresses and default routes. Three messages to the host, then a few to the pod.
 */
import { createHash } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { GantryError } from "../base/errors.ts";
import { linkExists, NETLINK_ROUTE } from "../native/netlink.ts";
import { addAddress, addDefaultRoute } from "./address-message.ts";
import { GATEWAY_HOST, kernelHasIpv6, localMac, type BridgeDevice } from "./bridge-device.ts";
import { ipBytes, subnetAddress, type IpAddress, type IpSubnet } from "./ip-address.ts";
import {
  bringLinkUp,
  createVeth,
  decodeLinks,
  deleteLink,
  getLink,
  listLinks,
  setAddressless,
  setHairpin,
  setMaster,
} from "./link-message.ts";
import { exchange } from "../netlink/netlink-exchange.ts";

export const POD_INTERFACE = "eth0";

const POLL_MS = 1;

export interface PodLink {
  podSandboxId: string;
  bridge: BridgeDevice;
  /** Open for the whole call. */
  netnsFd: number;
  /** One of each subnet, in the same order. */
  addresses: readonly IpAddress[];
  subnets: readonly IpSubnet[];
}

/** The name of the host's end: "gt" and 12 hex digits of the pod's hash. */
export function podLinkName(podSandboxId: string): string {
  return `gt${createHash("sha256").update(podSandboxId).digest("hex").slice(0, 12)}`;
}

/** Creates the pair, both ends up. What is there when it rejects, `deletePodLink` removes. */
export async function createPodLink(link: PodLink, signal: AbortSignal): Promise<void> {
  const name = podLinkName(link.podSandboxId);
  const { addresses, subnets, bridge, netnsFd } = link;
  const ipv6 = kernelHasIpv6();
  const veth = createVeth({
    name,
    mac: localMac(createHash("sha256").update(`host/${link.podSandboxId}`).digest()),
    master: bridge.index,
    mtu: bridge.mtu,
    peer: { name: POD_INTERFACE, mac: podMac(addresses), netnsFd },
  });
  const replies = await exchange({
    protocol: NETLINK_ROUTE,
    messages: [
      veth,
      setHairpin(name),
      ...(ipv6 ? [setAddressless({ name })] : []),
      bringLinkUp({ name }),
      getLink(name),
    ],
  });
  signal.throwIfAborted();
  const index = decodeLinks(replies)[0]?.peerIndex;
  if (index === undefined) throw new GantryError("internal", `link "${name}" has no peer`);
  const dual = subnets.some(({ family }) => family === 6);
  await exchange({
    protocol: NETLINK_ROUTE,
    netnsFd,
    // A pod believes no router advertisement, for any other pod on the bridge could send one (CVE-2020-10749).
    sysctls: ipv6 ? [[`net/ipv6/conf/${POD_INTERFACE}/accept_ra`, "0"]] : [],
    messages: [
      ...(ipv6 && !dual ? [setAddressless({ index })] : []),
      bringLinkUp({ index }),
      ...addresses.map((address, i) => addAddress(index, address, subnets[i] as IpSubnet)),
      ...subnets.map((subnet) => addDefaultRoute(index, subnetAddress(subnet, GATEWAY_HOST))),
    ],
  });
}

/** Makes the pods' links ports of the bridge again, where one of theirs was deleted under them. Resolves to their number. */
export async function reattachPodLinks(
  podSandboxIds: readonly string[],
  bridge: BridgeDevice,
): Promise<number> {
  if (podSandboxIds.length === 0) return 0;
  const names = new Set(podSandboxIds.map(podLinkName));
  const links = decodeLinks(await exchange({ protocol: NETLINK_ROUTE, messages: [listLinks()] }));
  const loose = links.filter(({ name, master }) => names.has(name) && master !== bridge.index);
  for (const { name } of loose) {
    const messages = [setMaster(name, bridge.index), setHairpin(name)];
    // One whose pod is just being stopped is gone.
    await exchange({ protocol: NETLINK_ROUTE, messages, accept: ["ENODEV"] });
  }
  return loose.length;
}

/**
 * Deletes both ends; a pair that is gone is no error. Resolves as soon as the device is gone: the kernel then waits
 * some 15 ms more for its own memory (rcu_barrier), which nobody else needs to.
 *
 * @param background told of the rest of the work, which has no error any more.
 */
export async function deletePodLink(
  podSandboxId: string,
  background: (rest: Promise<void>) => void,
): Promise<void> {
  const name = podLinkName(podSandboxId);
  if (!linkExists(name)) return;
  let settled = false;
  const deletion = exchange({
    protocol: NETLINK_ROUTE,
    messages: [deleteLink(name)],
    accept: ["ENODEV"],
  }).finally(() => (settled = true));
  deletion.catch(() => undefined);
  do await setTimeout(POLL_MS);
  while (!settled && linkExists(name));
  if (settled) await deletion;
  else background(deletion.then(() => undefined));
}

/** Made of the IPv4 address: who gets a used address gets its hardware address too, and no neighbour entry is stale. */
function podMac(addresses: readonly IpAddress[]): Uint8Array {
  const primary = addresses[0];
  if (!primary) throw new GantryError("internal", "pod link without an address");
  return Uint8Array.of(0x02, 0x67, ...ipBytes(primary).subarray(-4));
}
