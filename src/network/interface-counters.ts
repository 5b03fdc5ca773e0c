/**
 * Counters of the interfaces of network namespaces, over rtnetlink: many namespaces in one job. It asks the namespace
 * and not a process in it, as a process may have moved to another one.
 */
import { netlinkRequestEach, NETLINK_ROUTE } from "../native/netlink.ts";
import { listLinks, RTM_NEWLINK } from "./link-message.ts";
import { encodeMessages, NLMSG_HEADER_BYTES } from "../netlink/netlink-message.ts";

/** Since the interface was made. */
export interface InterfaceCounters {
  name: string;
  rxBytes: number;
  rxPackets: number;
  rxErrors: number;
  rxDropped: number;
  txBytes: number;
  txPackets: number;
  txErrors: number;
  txDropped: number;
}

const IFINFOMSG_BYTES = 16;
const IFF_LOOPBACK = 8;
const IFLA_IFNAME = 3;
const IFLA_STATS64 = 23;
/** Eight counters of 64 bits, the first ones of struct rtnl_link_stats64. */
const STATS64_BYTES = 64;

/** Some thousand interfaces: a container that may make them is not to fill the daemon's memory with its own. */
const LIMIT_BYTES = 4 * 1024 * 1024;

/** Of the namespace at this position, without loopback; undefined for one that is gone or has too many. Decoded when asked for. */
export type CountersOf = (index: number) => InterfaceCounters[] | undefined;

export async function interfaceCounters(
  netnsPaths: readonly string[],
  limitBytes: number = LIMIT_BYTES,
): Promise<CountersOf> {
  const request = encodeMessages([listLinks()], 1);
  const replies = await netlinkRequestEach(NETLINK_ROUTE, netnsPaths, request, limitBytes);
  return (index) => {
    const bytes = replies[index];
    return bytes && decodeCounters(bytes);
  };
}

/** The links in the replies to a list. A link has some sixty attributes, of which two are wanted, so none is cut out. */
export function decodeCounters(bytes: Buffer): InterfaceCounters[] {
  const found: InterfaceCounters[] = [];
  for (let start = 0; start + NLMSG_HEADER_BYTES <= bytes.length;) {
    const length = bytes.readUInt32LE(start);
    if (length < NLMSG_HEADER_BYTES || start + length > bytes.length) break;
    if (bytes.readUInt16LE(start + 4) === RTM_NEWLINK) {
      const counters = decodeLink(bytes, start + NLMSG_HEADER_BYTES, start + length);
      if (counters) found.push(counters);
    }
    start += (length + 3) & ~3;
  }
  return found;
}

/** Undefined for loopback, and for a link without counters. */
function decodeLink(bytes: Buffer, start: number, end: number): InterfaceCounters | undefined {
  if (start + IFINFOMSG_BYTES > end || (bytes.readUInt32LE(start + 8) & IFF_LOOPBACK) !== 0) return undefined;
  let name: string | undefined;
  let stats = -1;
  for (let at = start + IFINFOMSG_BYTES; at + 4 <= end;) {
    const length = bytes.readUInt16LE(at);
    if (length < 4 || at + length > end) break;
    const attribute = bytes.readUInt16LE(at + 2);
    if (attribute === IFLA_IFNAME) name = bytes.toString("utf8", at + 4, at + length - 1);
    if (attribute === IFLA_STATS64 && length >= 4 + STATS64_BYTES) stats = at + 4;
    at += (length + 3) & ~3;
  }
  if (name === undefined || stats < 0) return undefined;
  const counter = (index: number): number =>
    bytes.readUInt32LE(stats + index * 8) + bytes.readUInt32LE(stats + index * 8 + 4) * 2 ** 32;
  return {
    name,
    rxPackets: counter(0),
    txPackets: counter(1),
    rxBytes: counter(2),
    txBytes: counter(3),
    rxErrors: counter(4),
    txErrors: counter(5),
    rxDropped: counter(6),
    txDropped: counter(7),
  };
}
