/**
 * Binding of the addon's netlink transport: one call opens a socket (in the process's network namespace, or in a
 * given one), sends a batch of messages, returns all replies and closes it. It runs on a thread of its own, for the
 * kernel's network lock may take milliseconds. The bytes are built and read in src/network.
 */
import { addon } from "./addon.ts";

/** Protocol families, from linux/netlink.h. */
export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;

export interface NetlinkBinding {
  netlinkRequest(
    protocol: number,
    netnsFd: number,
    socket: number,
    sysctls: string[],
    messages: Uint8Array,
  ): Promise<Uint8Array>;
  netlinkRequestEach(
    protocol: number,
    paths: Uint8Array,
    messages: Uint8Array,
    limitBytes: number,
  ): Promise<Buffer>;
  netlinkOpen(protocol: number): number;
  linkExists(name: string): boolean;
}

const native = addon as NetlinkBinding;

/** A sysctl below /proc/sys: checked path segments joined by "/", and the value. */
export type SysctlWrite = readonly [path: string, value: string];

export interface NetlinkRequest {
  protocol: number;
  messages: Uint8Array;
  /** An open network namespace; absent for the process's own. Stays open until the promise settles. */
  netnsFd?: number | undefined;
  /** A socket of that namespace to use, by one request at a time; absent: one is opened and closed. */
  socket?: number | undefined;
  /** Written in that namespace before the messages are sent. */
  sysctls?: readonly SysctlWrite[] | undefined;
}

/**
 * Sends the messages and collects every reply.
 *
 * @throws an errno error (code, syscall, path) of setns, the sysctl or the socket; the messages' own errors are in
 *   the replies.
 */
export function netlinkRequest(request: NetlinkRequest): Promise<Uint8Array> {
  const { protocol, messages, netnsFd = -1, socket = -1, sysctls = [] } = request;
  return native.netlinkRequest(protocol, netnsFd, socket, sysctls.flat(), messages);
}

/**
 * Sends the same messages in each of many network namespaces, one after the other in one job, and collects the
 * replies of each. Undefined for a namespace that cannot be entered or asked, as it is gone, and for one with more
 * to say than the limit.
 */
export async function netlinkRequestEach(
  protocol: number,
  netnsPaths: readonly string[],
  messages: Uint8Array,
  limitBytes: number,
): Promise<(Buffer | undefined)[]> {
  if (netnsPaths.length === 0) return [];
  const paths = Buffer.from(`${netnsPaths.join("\0")}\0`);
  const reply = await native.netlinkRequestEach(protocol, paths, messages, limitBytes);
  let at = 0;
  return netnsPaths.map(() => {
    const length = reply.readInt32LE(at);
    at += 4;
    if (length < 0) return undefined;
    at += length;
    return reply.subarray(at - length, at);
  });
}

/** A socket in the process's network namespace, for requests in turn; the caller closes the descriptor. */
export function openNetlinkSocket(protocol: number): number {
  return native.netlinkOpen(protocol);
}

/** Writes sysctls of a network namespace, or of the process's own, through a verified procfs. */
export async function writeSysctls(
  netnsFd: number | undefined,
  sysctls: readonly SysctlWrite[],
): Promise<void> {
  if (sysctls.length === 0) return;
  await netlinkRequest({ protocol: NETLINK_ROUTE, messages: new Uint8Array(), netnsFd, sysctls });
}

/** Whether the process's network namespace has a device of that name; some microseconds, waits for no lock. */
export function linkExists(name: string): boolean {
  return native.linkExists(name);
}
