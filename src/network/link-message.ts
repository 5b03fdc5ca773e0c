/**
 * rtnetlink messages on links: bridges, veth pairs and what is asked of them (rtnetlink(7), linux/if_link.h,
 * linux/if_bridge.h). Links are named, so that a batch can create one and go on with it in the next message.
 */
import {
  AttributeWriter,
  attributeText,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  readAttributes,
  type NetlinkMessage,
  type NetlinkReply,
} from "../netlink/netlink-message.ts";

export const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_AF_SPEC = 26;
const IFLA_NET_NS_FD = 28;
const IFLA_NUM_TX_QUEUES = 31;
const IFLA_NUM_RX_QUEUES = 32;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_INFO_SLAVE_KIND = 4;
const IFLA_INFO_SLAVE_DATA = 5;
const VETH_INFO_PEER = 1;
const IFLA_BRPORT_MODE = 4;
const AF_INET6 = 10;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const IN6_ADDR_GEN_MODE_NONE = 1;
const IFF_UP = 1;

export interface Link {
  index: number;
  name: string;
  up: boolean;
  /** "bridge", "veth"; empty for hardware and loopback. */
  kind: string;
  /** Index of the bridge it is a port of; 0 for none. */
  master: number;
  /** For a veth: its peer's index, in the peer's namespace. */
  peerIndex: number;
  alias: string;
  /** Hardware address; empty for none. */
  mac: Uint8Array;
  mtu: number;
}

export interface VethPair {
  name: string;
  mac: Uint8Array;
  /** Index of the bridge that the host's end becomes a port of. */
  master: number;
  mtu: number;
  peer: { name: string; mac: Uint8Array; netnsFd: number };
}

/** A bridge, down. */
export function createBridge(name: string, mac: Uint8Array, mtu: number): NetlinkMessage {
  const attributes = new AttributeWriter(linkHeader({}))
    .string(IFLA_IFNAME, name)
    .bytes(IFLA_ADDRESS, mac)
    .u32(IFLA_MTU, mtu)
    .nest(IFLA_LINKINFO, (info) => info.string(IFLA_INFO_KIND, "bridge"));
  return newLink(NLM_F_CREATE | NLM_F_EXCL, attributes, `create bridge "${name}"`);
}

/** A veth pair, both ends down, the second created within its namespace. One queue each: a pod's traffic is one flow of softirqs. */
export function createVeth(pair: VethPair): NetlinkMessage {
  const attributes = new AttributeWriter(linkHeader({}))
    .string(IFLA_IFNAME, pair.name)
    .bytes(IFLA_ADDRESS, pair.mac)
    .u32(IFLA_MTU, pair.mtu)
    .u32(IFLA_MASTER, pair.master)
    .u32(IFLA_NUM_TX_QUEUES, 1)
    .u32(IFLA_NUM_RX_QUEUES, 1)
    .nest(IFLA_LINKINFO, (info) =>
      info
        .string(IFLA_INFO_KIND, "veth")
        .nest(IFLA_INFO_DATA, (data) =>
          data.nest(
            VETH_INFO_PEER,
            (peer) =>
              peer
                .string(IFLA_IFNAME, pair.peer.name)
                .bytes(IFLA_ADDRESS, pair.peer.mac)
                .u32(IFLA_MTU, pair.mtu)
                .u32(IFLA_NUM_TX_QUEUES, 1)
                .u32(IFLA_NUM_RX_QUEUES, 1)
                .u32(IFLA_NET_NS_FD, pair.peer.netnsFd),
            linkHeader({}),
          ),
        ),
    );
  return newLink(NLM_F_CREATE | NLM_F_EXCL, attributes, `create veth "${pair.name}"`);
}

/** How messages name a link. */
export type LinkReference = { index: number } | { name: string };

/** Lets a bridge's port send a frame back where it came from, as a pod needs that talks to its own port mapping. */
export function setHairpin(name: string): NetlinkMessage {
  const attributes = refer({ name }).nest(IFLA_LINKINFO, (info) =>
    info
      .string(IFLA_INFO_SLAVE_KIND, "bridge")
      .nested(IFLA_INFO_SLAVE_DATA, (data) => data.u8(IFLA_BRPORT_MODE, 1)),
  );
  return newLink(0, attributes, `set hairpin mode of "${name}"`);
}

/** Makes the link a port of a bridge. */
export function setMaster(name: string, master: number): NetlinkMessage {
  return newLink(0, refer({ name }).u32(IFLA_MASTER, master), `make "${name}" a port of link ${master}`);
}

/** Before the link is up: the kernel gives it no IPv6 link-local address by itself. */
export function setAddressless(link: LinkReference): NetlinkMessage {
  const attributes = refer(link).nest(IFLA_AF_SPEC, (families) =>
    families.nest(AF_INET6, (inet6) => inet6.u8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE)),
  );
  return newLink(0, attributes, `turn IPv6 address generation of ${describe(link)} off`);
}

export function bringLinkUp(link: LinkReference): NetlinkMessage {
  return newLink(0, refer(link, true), `bring up ${describe(link)}`);
}

/** Gives the link a note that `ip link` shows as its alias. */
export function setLinkAlias(name: string, alias: string): NetlinkMessage {
  const attributes = refer({ name }).bytes(IFLA_IFALIAS, Buffer.from(alias));
  return newLink(0, attributes, `name owner of "${name}"`);
}

/** Deleting one end of a veth pair deletes both. */
export function deleteLink(name: string): NetlinkMessage {
  const payload = refer({ name }).finish();
  return { type: RTM_DELLINK, flags: 0, payload, description: `delete link "${name}"` };
}

export function getLink(name: string): NetlinkMessage {
  const payload = refer({ name }).finish();
  return { type: RTM_GETLINK, flags: 0, payload, description: `find link "${name}"` };
}

export function listLinks(): NetlinkMessage {
  return { type: RTM_GETLINK, flags: NLM_F_DUMP, payload: linkHeader({}), description: "list links" };
}

/** The links among the replies of a get or a list. */
export function decodeLinks(replies: readonly NetlinkReply[]): Link[] {
  return replies.filter((reply) => reply.type === RTM_NEWLINK).map(({ payload }) => decodeLink(payload));
}

function decodeLink(payload: Buffer): Link {
  const attributes = readAttributes(payload.subarray(16));
  const info = attributes.get(IFLA_LINKINFO);
  const kind = info && readAttributes(info).get(IFLA_INFO_KIND);
  return {
    index: payload.readInt32LE(4),
    name: attributeText(attributes.get(IFLA_IFNAME) ?? Buffer.alloc(0)),
    up: (payload.readUInt32LE(8) & IFF_UP) !== 0,
    kind: kind ? attributeText(kind) : "",
    master: attributes.get(IFLA_MASTER)?.readUInt32LE(0) ?? 0,
    peerIndex: attributes.get(IFLA_LINK)?.readUInt32LE(0) ?? 0,
    alias: attributeText(attributes.get(IFLA_IFALIAS) ?? Buffer.alloc(0)),
    mac: attributes.get(IFLA_ADDRESS) ?? Buffer.alloc(0),
    mtu: attributes.get(IFLA_MTU)?.readUInt32LE(0) ?? 0,
  };
}

/** Starts a message on an existing link, with the flag to bring it up or no change of flags. */
function refer(link: LinkReference, up = false): AttributeWriter {
  const attributes = new AttributeWriter(linkHeader({ index: "index" in link ? link.index : 0, up }));
  return "name" in link ? attributes.string(IFLA_IFNAME, link.name) : attributes;
}

function describe(link: LinkReference): string {
  return "name" in link ? `"${link.name}"` : `link ${link.index}`;
}

/** struct ifinfomsg: family, type, index, flags, change mask. */
function linkHeader({ index = 0, up = false }: { index?: number; up?: boolean }): Uint8Array {
  const header = Buffer.alloc(16);
  header.writeInt32LE(index, 4);
  if (up) {
    header.writeUInt32LE(IFF_UP, 8);
    header.writeUInt32LE(IFF_UP, 12);
  }
  return header;
}

function newLink(flags: number, attributes: AttributeWriter, description: string): NetlinkMessage {
  return { type: RTM_NEWLINK, flags, payload: attributes.finish(), description };
}
