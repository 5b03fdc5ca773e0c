/**
 * Network interfaces of the host that become a container's own (config-linux.md, "Network Devices"). Before the launch
 * they are looked up, with their addresses, which the kernel forgets when an interface changes its network namespace;
 * here the netlink messages are made that the launcher then sends (rtnetlink(7), linux/if_link.h, linux/if_addr.h).
 *
 * The kernel finds the number for a "%d" itself and tells nobody, so such an interface arrives under a name by which it
 * can be found, and is renamed there.
 */
import { closeSync, constants, openSync } from "node:fs";
import { errorMessage, GantryError } from "../base/errors.ts";
import { NETLINK_ROUTE } from "../native/netlink.ts";
import { exchange, NetlinkError } from "../netlink/netlink-exchange.ts";
import {
  AttributeWriter,
  encodeMessages,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  readAttributes,
  type NetlinkMessage,
  type NetlinkReply,
} from "../netlink/netlink-message.ts";
import type { PlanValues } from "./plan.ts";
import type { NetDevice } from "./runtime-spec.ts";

/** One interface as the plan has it. */
export type NetDeviceMove = PlanValues<"parentNetDevice">;

const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const IFLA_IFNAME = 3;
const IFLA_NET_NS_FD = 28;
const IFF_UP = 1;
const IFF_LOOPBACK = 8;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_BROADCAST = 4;
const IFA_FLAGS = 8;
const IFA_RT_PRIORITY = 9;
const IFA_F_PERMANENT = 0x80;
/** NODAD, HOMEADDRESS, MANAGETEMPADDR, NOPREFIXROUTE, MCAUTOJOIN: how an address was meant, not how it is doing. */
const KEPT_FLAGS = 0x02 | 0x10 | 0x100 | 0x200 | 0x400;
const RT_SCOPE_UNIVERSE = 0;

/**
 * The interfaces as they are now, in the network namespace of this process.
 * @param kept a network namespace that outlives its containers: an interface that is not here any more, and there by the
 *   name that it shall have, was moved for an earlier one, and is left out.
 * @throws GantryError failed-precondition naming the member of the configuration.
 */
export async function prepareNetDevices(
  devices: Readonly<Record<string, NetDevice>> | undefined,
  kept?: string,
): Promise<NetDeviceMove[]> {
  const moves: NetDeviceMove[] = [];
  for (const [host, { name }] of Object.entries(devices ?? {})) {
    try {
      moves.push(await prepare(host, name || host));
    } catch (error) {
      const gone = error instanceof NetlinkError && error.code === "ENODEV";
      if (gone && kept !== undefined && (await isThere(name || host, kept))) continue;
      throw new GantryError("failed-precondition", `linux.netDevices: ${host}: ${errorMessage(error)}`, {
        cause: error,
      });
    }
  }
  return moves;
}

async function isThere(name: string, netnsPath: string): Promise<boolean> {
  const netnsFd = openSync(netnsPath, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const found = await exchange({ protocol: NETLINK_ROUTE, messages: [findLink(name)], netnsFd });
    return found.length > 0;
  } catch (error) {
    if (error instanceof NetlinkError) return false;
    throw error;
  } finally {
    closeSync(netnsFd);
  }
}

function findLink(name: string): NetlinkMessage {
  const payload = new AttributeWriter(Buffer.alloc(16)).string(IFLA_IFNAME, name).finish();
  return { type: RTM_GETLINK, flags: 0, payload, description: "find the interface" };
}

async function prepare(host: string, wanted: string): Promise<NetDeviceMove> {
  const [link] = await exchange({ protocol: NETLINK_ROUTE, messages: [findLink(host)] });
  if (!link) throw new GantryError("not-found", "no such interface");
  const index = link.payload.readInt32LE(4);
  if (link.payload.readUInt32LE(8) & IFF_LOOPBACK)
    throw new GantryError("invalid-argument", "a loopback interface stays in its network namespace");
  const list = {
    type: RTM_GETADDR,
    flags: NLM_F_DUMP,
    payload: Buffer.alloc(8),
    description: "list addresses",
  };
  const addresses = await exchange({ protocol: NETLINK_ROUTE, messages: [list] });
  const template = wanted.includes("%d");
  const name = template ? `gantry${index}` : wanted;
  return {
    host,
    name,
    move: encode([moveLink(index, name)]),
    configure: encode([
      ...(template ? [renameLink(wanted)] : []),
      ...addresses.flatMap((address) => keptAddress(address, index)),
      linkMessage(header(0, true), "bring the interface up"),
    ]),
  };
}

/** Each is acknowledged. */
function encode(messages: readonly NetlinkMessage[]): Uint8Array {
  return encodeMessages(
    messages.map((message) => ({ ...message, flags: message.flags | NLM_F_ACK })),
    1,
  );
}

/** struct ifinfomsg. */
function header(index: number, up: boolean): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeInt32LE(index, 4);
  bytes.writeUInt32LE(up ? IFF_UP : 0, 8);
  bytes.writeUInt32LE(IFF_UP, 12);
  return bytes;
}

function linkMessage(
  fixed: Buffer,
  description: string,
  fill?: (attributes: AttributeWriter) => void,
): NetlinkMessage {
  const attributes = new AttributeWriter(fixed);
  fill?.(attributes);
  return { type: RTM_NEWLINK, flags: 0, payload: attributes.finish(), description };
}

/** Down, as a name changes only then. The descriptor is last, where the native half puts it. */
function moveLink(index: number, name: string): NetlinkMessage {
  return linkMessage(header(index, false), "move the interface", (attributes) =>
    attributes.string(IFLA_IFNAME, name).u32(IFLA_NET_NS_FD, 0),
  );
}

function renameLink(name: string): NetlinkMessage {
  return linkMessage(header(0, false), "rename the interface", (attributes) =>
    attributes.string(IFLA_IFNAME, name),
  );
}

/** The request that makes the address again; nothing for one of another interface, for one that expires, and for one not of global scope. */
function keptAddress({ type, payload }: NetlinkReply, index: number): NetlinkMessage[] {
  if (type !== RTM_NEWADDR || payload.readUInt32LE(4) !== index) return [];
  const given = readAttributes(payload.subarray(8));
  const flags = given.get(IFA_FLAGS)?.readUInt32LE(0) ?? payload.readUInt8(2);
  if (!(flags & IFA_F_PERMANENT) || payload.readUInt8(3) !== RT_SCOPE_UNIVERSE) return [];
  const fixed = Buffer.from(payload.subarray(0, 8));
  fixed[2] = 0;
  fixed.writeUInt32LE(0, 4);
  const attributes = new AttributeWriter(fixed).u32(IFA_FLAGS, flags & KEPT_FLAGS);
  for (const kept of [IFA_LOCAL, IFA_ADDRESS, IFA_BROADCAST, IFA_RT_PRIORITY]) {
    const value = given.get(kept);
    if (value) attributes.bytes(kept, value);
  }
  return [
    {
      type: RTM_NEWADDR,
      flags: NLM_F_CREATE | NLM_F_EXCL,
      payload: attributes.finish(),
      description: "add an address",
    },
  ];
}
