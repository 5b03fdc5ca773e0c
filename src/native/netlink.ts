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
  netlinkRequest(protocol: number, netnsFd: number, sysctls: string[], messages: Uint8Array): Promise<Uint8Array>;
}

const native = addon as NetlinkBinding;

/** A sysctl below /proc/sys: checked path segments joined by "/", and the value. */
export type SysctlWrite = readonly [path: string, value: string];

/**
 * Writes the sysctls, then sends the messages (none: only the sysctls) and collects every reply.
 *
 * @param netnsFd an open network namespace, which stays open until the promise settles; undefined for the
 *   process's own.
 * @throws an errno error (code, syscall, path) of setns, the sysctl or the socket; the messages' own errors are in
 *   the replies.
 */
export function netlinkRequest(
  protocol: number,
  netnsFd: number | undefined,
  messages: Uint8Array,
  sysctls: readonly SysctlWrite[] = [],
): Promise<Uint8Array> {
  return native.netlinkRequest(protocol, netnsFd ?? -1, sysctls.flat(), messages);
}

/** Writes sysctls of a network namespace, or of the process's own, through a verified procfs. */
export async function writeSysctls(netnsFd: number | undefined, sysctls: readonly SysctlWrite[]): Promise<void> {
  if (sysctls.length > 0) await native.netlinkRequest(NETLINK_ROUTE, netnsFd ?? -1, sysctls.flat(), new Uint8Array());
}
