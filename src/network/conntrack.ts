/**
 * Forgetting tracked UDP flows to a host port whose mapping has changed (ctnetlink, linux/netfilter/
 * nfnetlink_conntrack.h). The kernel translates a flow as its first packet was; a client that goes on sending from the
 * same port would reach the pod that had the host port before, or nobody, for as long as it sends. TCP connections
 * end by themselves.
 */
import { NETLINK_NETFILTER } from "../native/netlink.ts";
import { ipFromBytes, type IpAddress } from "./ip-address.ts";
import { exchange } from "../netlink/netlink-exchange.ts";
import {
  AttributeWriter,
  NLM_F_DUMP,
  readAttributes,
  type NetlinkMessage,
} from "../netlink/netlink-message.ts";

const NFNL_SUBSYS_CTNETLINK = 1;
const IPCTNL_MSG_CT_NEW = 0;
const IPCTNL_MSG_CT_GET = 1;
const IPCTNL_MSG_CT_DELETE = 2;
const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_STATUS = 3;
const IPS_SEEN_REPLY = 2;
const CTA_TUPLE_IP = 1;
const CTA_IP_V4_SRC = 1;
const CTA_IP_V6_SRC = 3;
const CTA_ID = 12;
const CTA_FILTER = 25;
const CTA_FILTER_ORIG_FLAGS = 1;
const CTA_FILTER_REPLY_FLAGS = 2;
const FILTER_PROTOCOL = 1 << 3;
const FILTER_DESTINATION_PORT = 1 << 5;
const CTA_TUPLE_PROTO = 2;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_DST_PORT = 3;
const IPPROTO_UDP = 17;
const AF_INET = 2;
const AF_INET6 = 10;

/**
 * Deletes the tracked UDP flows of both families to these ports that are answered by one of the pod's addresses, or
 * by nobody yet. Others (a pod's own flow to such a port elsewhere) stay.
 */
export async function forgetUdpFlows(hostPorts: readonly number[], pod: readonly IpAddress[]): Promise<void> {
  const messages = hostPorts.flatMap((port) => [listFlows(AF_INET, port), listFlows(AF_INET6, port)]);
  for (const message of messages) {
    // One dump at a time on a socket.
    const replies = await exchange({ protocol: NETLINK_NETFILTER, messages: [message] });
    const deletions = replies
      .filter(({ type }) => type === ((NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_NEW))
      .filter(({ payload }) => isMisled(readAttributes(payload.subarray(4)), pod))
      .flatMap(({ payload }) => deleteFlow(payload));
    if (deletions.length === 0) continue;
    await exchange({ protocol: NETLINK_NETFILTER, messages: deletions, accept: ["ENOENT"] });
  }
}

/** The kernel picks out the flows (Linux 5.8). */
function listFlows(family: number, port: number): NetlinkMessage {
  const payload = new AttributeWriter(Uint8Array.of(family, 0, 0, 0))
    .nested(CTA_TUPLE_ORIG, (tuple) =>
      tuple.nested(CTA_TUPLE_PROTO, (protocol) =>
        protocol
          .u8(CTA_PROTO_NUM, IPPROTO_UDP)
          .bytes(CTA_PROTO_DST_PORT, Uint8Array.of(port >> 8, port & 0xff)),
      ),
    )
    .nested(CTA_FILTER, (filter) =>
      filter
        .u32(CTA_FILTER_ORIG_FLAGS, FILTER_PROTOCOL | FILTER_DESTINATION_PORT)
        .u32(CTA_FILTER_REPLY_FLAGS, 0),
    )
    .finish();
  return {
    type: (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_GET,
    flags: NLM_F_DUMP,
    payload,
    description: `list tracked flows to UDP port ${port}`,
  };
}

function isMisled(flow: Map<number, Buffer>, pod: readonly IpAddress[]): boolean {
  const answered = ((flow.get(CTA_STATUS)?.readUInt32BE(0) ?? 0) & IPS_SEEN_REPLY) !== 0;
  const reply = flow.get(CTA_TUPLE_REPLY);
  const addresses = reply && readAttributes(reply).get(CTA_TUPLE_IP);
  const source = addresses && readAttributes(addresses);
  return (
    !answered ||
    pod.some(({ family, value }) => {
      const bytes = source?.get(family === 4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC);
      return bytes !== undefined && ipFromBytes(bytes).value === value;
    })
  );
}

/** From the flow as it was listed: its tuple and number identify it. */
function deleteFlow(flow: Buffer): NetlinkMessage[] {
  const attributes = readAttributes(flow.subarray(4));
  const tuple = attributes.get(CTA_TUPLE_ORIG);
  const id = attributes.get(CTA_ID);
  if (!tuple || !id) return [];
  const payload = new AttributeWriter(Uint8Array.of(flow.readUInt8(0), 0, 0, 0))
    .nested(CTA_TUPLE_ORIG, (inner) => {
      for (const [type, value] of readAttributes(tuple)) inner.nested(type, (bytes) => bytes.raw(value));
    })
    .bytes(CTA_ID, id)
    .finish();
  return [
    {
      type: (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_DELETE,
      flags: 0,
      payload,
      description: "delete a tracked flow",
    },
  ];
}
