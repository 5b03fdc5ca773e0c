/**
 * Counters of the interfaces of network namespaces, over rtnetlink: many namespaces in one job. It asks the namespace
 * and not a process in it, as a process may have moved to another one.
 */
import { netlinkRequestEach, NETLINK_ROUTE } from "../native/netlink.ts";
import { listLinks, RTM_NEWLINK } from "./link-message.ts";
import { decodeMessages, encodeMessages } from "./netlink-message.ts";

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

/** Of each namespace, without its loopback; undefined for a namespace that is gone. */
export async function interfaceCounters(
  netnsPaths: readonly string[],
): Promise<(InterfaceCounters[] | undefined)[]> {
  const replies = await netlinkRequestEach(NETLINK_ROUTE, netnsPaths, encodeMessages([listLinks()], 1));
  return replies.map((bytes) => bytes && decodeCounters(bytes));
}

/** A link has some sixty attributes, of which two are wanted, so they are not taken apart one by one. */
export function decodeCounters(bytes: Buffer): InterfaceCounters[] {
  const found: InterfaceCounters[] = [];
  for (const { type, payload } of decodeMessages(bytes)) {
    if (type !== RTM_NEWLINK || payload.length < IFINFOMSG_BYTES) continue;
    if ((payload.readUInt32LE(8) & IFF_LOOPBACK) !== 0) continue;
    let name: string | undefined;
    let stats = -1;
    for (let at = IFINFOMSG_BYTES; at + 4 <= payload.length;) {
      const length = payload.readUInt16LE(at);
      if (length < 4 || at + length > payload.length) break;
      const attribute = payload.readUInt16LE(at + 2);
      if (attribute === IFLA_IFNAME) name = payload.toString("utf8", at + 4, at + length - 1);
      if (attribute === IFLA_STATS64 && length >= 4 + STATS64_BYTES) stats = at + 4;
      at += (length + 3) & ~3;
    }
    if (name === undefined || stats < 0) continue;
    const counter = (index: number): number => Number(payload.readBigUInt64LE(stats + index * 8));
    found.push({
      name,
      rxPackets: counter(0),
      txPackets: counter(1),
      rxBytes: counter(2),
      txBytes: counter(3),
      rxErrors: counter(4),
      txErrors: counter(5),
      rxDropped: counter(6),
      txDropped: counter(7),
    });
  }
  return found;
}
