/**
 * One exchange with the kernel: a batch of requests, and what came back. A request that the kernel refused becomes a
 * NetlinkError with its errno and the kernel's own explanation (the extended acknowledgement, NETLINK_EXT_ACK).
 *
 * rtnetlink carries out the messages of a batch one after the other and goes on after a failure; nfnetlink's batches
 * (nftables-message.ts) are all or nothing. The transport is src/native/netlink.ts.
 */
import { getSystemErrorName } from "node:util";
import { GantryError, type ErrorKind } from "../base/errors.ts";
import { netlinkRequest, type SysctlWrite } from "../native/netlink.ts";
import {
  attributeText,
  decodeMessages,
  encodeMessages,
  NLM_F_ACK,
  NLMSG_DONE,
  NLMSG_ERROR,
  readAttributes,
  type NetlinkMessage,
  type NetlinkReply,
} from "./netlink-message.ts";

const NLM_F_ACK_TLVS = 0x200;
const NLM_F_CAPPED = 0x100;
const NLMSGERR_ATTR_MSG = 1;

/** A request that the kernel refused. `code` is the errno's name. */
export class NetlinkError extends GantryError {
  readonly code: string;

  constructor(description: string, errno: number, explanation: string) {
    const code = getSystemErrorName(-errno);
    super(kindOf(code), `${description}: ${code}${explanation ? ` (${explanation})` : ""}`);
    this.code = code;
  }
}

export interface NetlinkExchange {
  /** NETLINK_ROUTE or NETLINK_NETFILTER. */
  protocol: number;
  messages: readonly NetlinkMessage[];
  /** An open network namespace; absent for the process's own. */
  netnsFd?: number;
  /** A socket to use, by one exchange at a time; absent: one is opened for this exchange. */
  socket?: number;
  /** Written in that namespace before the messages are sent. */
  sysctls?: readonly SysctlWrite[];
  /** Errno names that are as good as success, for deletions that are repeated: ["ENOENT", "ENODEV"]. */
  accept?: readonly string[];
}

/**
 * Sends the messages and returns the data replies of dumps and gets.
 *
 * @throws NetlinkError for the first message that failed, GantryError or an errno error for the transport.
 */
export async function exchange(request: NetlinkExchange): Promise<NetlinkReply[]> {
  const { messages, accept = [] } = request;
  // What follows it in a batch is carried out or refused with it.
  const last = messages.findLastIndex((message) => message.unacknowledged !== true);
  const acknowledged = messages.map((message, index) =>
    index === last ? { ...message, flags: message.flags | NLM_F_ACK } : message,
  );
  const bytes = await netlinkRequest({ ...request, messages: encodeMessages(acknowledged, 1) });
  const data: NetlinkReply[] = [];
  const failures = new Map<number, NetlinkError>();
  let complete = last < 0;
  for (const reply of decodeMessages(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))) {
    const message = messages[reply.sequence - 1];
    if (message === undefined) continue;
    if (reply.type !== NLMSG_ERROR && reply.type !== NLMSG_DONE) {
      data.push(reply);
      continue;
    }
    complete ||= reply.sequence - 1 === last;
    const errno = reply.payload.length >= 4 ? -reply.payload.readInt32LE(0) : 0;
    if (errno > 0 && !failures.has(reply.sequence)) {
      const error = new NetlinkError(message.description, errno, explanationOf(reply));
      if (!accept.includes(error.code)) failures.set(reply.sequence, error);
    }
  }
  const first = [...failures.keys()].sort((a, b) => a - b)[0];
  if (first !== undefined) throw failures.get(first) as NetlinkError;
  if (!complete)
    throw new GantryError("internal", `${messages[last]?.description}: no reply from the kernel`);
  return data;
}

function explanationOf(reply: NetlinkReply): string {
  if (reply.type !== NLMSG_ERROR || !(reply.flags & NLM_F_ACK_TLVS)) return "";
  // errno, then the request's header, then (unless capped) its payload, then the attributes.
  const requestLength = reply.flags & NLM_F_CAPPED ? 16 : reply.payload.readUInt32LE(4);
  const message = readAttributes(reply.payload.subarray(4 + ((requestLength + 3) & ~3))).get(
    NLMSGERR_ATTR_MSG,
  );
  return message ? attributeText(message) : "";
}

function kindOf(code: string): ErrorKind {
  if (code === "EEXIST") return "already-exists";
  if (code === "ENOENT" || code === "ENODEV") return "not-found";
  if (code === "EPERM" || code === "EACCES") return "permission-denied";
  if (code === "ENOMEM" || code === "ENOSPC" || code === "ENFILE") return "resource-exhausted";
  return "internal";
}
