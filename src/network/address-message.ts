/** rtnetlink messages on addresses and routes (rtnetlink(7), linux/if_addr.h, linux/rtnetlink.h). */
import { formatIp, formatSubnet, ipBytes, ipFromBytes, type IpAddress, type IpSubnet } from "./ip-address.ts";
import {
  AttributeWriter,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  readAttributes,
  type NetlinkMessage,
  type NetlinkReply,
} from "../netlink/netlink-message.ts";

const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
const AF_INET = 2;
const AF_INET6 = 10;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_BROADCAST = 4;
const IFA_FLAGS = 8;
/** Usable at once, without duplicate address detection: the addresses are ours to give. */
const IFA_F_NODAD = 0x02;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_TABLE = 15;
const RT_TABLE_MAIN = 254;
const RTPROT_STATIC = 4;
const RTN_UNICAST = 1;

export interface LinkAddress {
  linkIndex: number;
  address: IpAddress;
  prefixLength: number;
}

export interface Route {
  destination: IpSubnet;
  /** 0 where the route has several next hops or none. */
  linkIndex: number;
  /** Undefined for what is reached directly. */
  gateway: IpAddress | undefined;
  table: number;
  type: number;
}

/** Adds an address; with `subnet` decides the prefix and the IPv4 broadcast. Repeating it is no error. */
export function addAddress(linkIndex: number, address: IpAddress, subnet: IpSubnet): NetlinkMessage {
  const header = Buffer.alloc(8);
  header[0] = familyNumber(address);
  header[1] = subnet.prefixLength;
  header.writeUInt32LE(linkIndex, 4);
  const attributes = new AttributeWriter(header)
    .bytes(IFA_LOCAL, ipBytes(address))
    .bytes(IFA_ADDRESS, ipBytes(address));
  if (address.family === 4 && subnet.prefixLength < 31) {
    const last = subnet.base | ((1n << BigInt(32 - subnet.prefixLength)) - 1n);
    attributes.bytes(IFA_BROADCAST, ipBytes({ family: 4, value: last }));
  }
  if (address.family === 6) attributes.u32(IFA_FLAGS, IFA_F_NODAD);
  const description = `add address ${formatIp(address)} to link ${linkIndex}`;
  return {
    type: RTM_NEWADDR,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    payload: attributes.finish(),
    description,
  };
}

/** Adds the default route of the gateway's family. */
export function addDefaultRoute(linkIndex: number, gateway: IpAddress): NetlinkMessage {
  const header = Buffer.alloc(12);
  header[0] = familyNumber(gateway);
  header[4] = RT_TABLE_MAIN;
  header[5] = RTPROT_STATIC;
  header[7] = RTN_UNICAST;
  const payload = new AttributeWriter(header)
    .bytes(RTA_GATEWAY, ipBytes(gateway))
    .u32(RTA_OIF, linkIndex)
    .finish();
  const description = `add default route by ${formatIp(gateway)}`;
  return { type: RTM_NEWROUTE, flags: NLM_F_CREATE | NLM_F_EXCL, payload, description };
}

/** Of both families. */
export function listAddresses(): NetlinkMessage {
  return { type: RTM_GETADDR, flags: NLM_F_DUMP, payload: Buffer.alloc(8), description: "list addresses" };
}

/** Of both families, all tables. */
export function listRoutes(): NetlinkMessage {
  return { type: RTM_GETROUTE, flags: NLM_F_DUMP, payload: Buffer.alloc(12), description: "list routes" };
}

export function decodeAddresses(replies: readonly NetlinkReply[]): LinkAddress[] {
  return replies
    .filter((reply) => reply.type === RTM_NEWADDR)
    .flatMap(({ payload }) => {
      const attributes = readAttributes(payload.subarray(8));
      const bytes = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
      if (!bytes) return [];
      const address = ipFromBytes(bytes);
      return [{ linkIndex: payload.readUInt32LE(4), address, prefixLength: payload.readUInt8(1) }];
    });
}

/** The unicast routes among the replies; other families than IP are left out. */
export function decodeRoutes(replies: readonly NetlinkReply[]): Route[] {
  return replies
    .filter((reply) => reply.type === RTM_NEWROUTE)
    .flatMap(({ payload }) => {
      const number = payload.readUInt8(0);
      if (number !== AF_INET && number !== AF_INET6) return [];
      const family = number === AF_INET ? 4 : 6;
      const attributes = readAttributes(payload.subarray(12));
      const base = attributes.get(RTA_DST);
      const gateway = attributes.get(RTA_GATEWAY);
      return [
        {
          destination: {
            family,
            base: base ? ipFromBytes(base).value : 0n,
            prefixLength: payload.readUInt8(1),
          },
          linkIndex: attributes.get(RTA_OIF)?.readUInt32LE(0) ?? 0,
          gateway: gateway && ipFromBytes(gateway),
          table: attributes.get(RTA_TABLE)?.readUInt32LE(0) ?? payload.readUInt8(4),
          type: payload.readUInt8(7),
        } satisfies Route,
      ];
    });
}

/** "10.0.0.0/8 by 192.0.2.1", for messages. */
export function describeRoute(route: Route): string {
  return formatSubnet(route.destination) + (route.gateway ? ` by ${formatIp(route.gateway)}` : "");
}

function familyNumber(address: IpAddress): number {
  return address.family === 4 ? AF_INET : AF_INET6;
}
