/**
 * Binding of the addon's connect in another network namespace, as a Node socket: how port forwarding reaches what
 * listens inside a pod, without any program running there.
 */
import { closeSync, constants, openSync } from "node:fs";
import { Socket } from "node:net";
import { abortable } from "../base/abort.ts";
import { errnoCode, wrapError } from "../base/errors.ts";
import { Limiter } from "../base/limiter.ts";
import { addon } from "./addon.ts";

interface LoopbackConnectBinding {
  loopbackConnect(netnsFd: number, port: number, timeoutMs: number): Promise<number>;
}

const native = addon as LoopbackConnectBinding;

/**
 * Threads that connect in one namespace. One whose listener takes nothing keeps each for the whole of its time, also
 * after the caller has gone: whoever calls again and again must not use up the threads of the daemon.
 */
const MAX_CONNECTING = 32;
const connectors = new Map<string, Limiter>();

/**
 * Connects to the port at 127.0.0.1, or else at ::1, of a network namespace. The socket may be half-closed on either
 * side; the caller owns it.
 *
 * @param netnsPath a pinned network namespace; undefined: the process's own.
 * @param port 1 to 65535.
 * @throws GantryError unavailable where nothing listens or nothing answers in time, or the signal's reason.
 */
export async function connectLoopback(
  netnsPath: string | undefined,
  port: number,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Socket> {
  signal.throwIfAborted();
  const connecting = inTurn(netnsPath ?? "", signal, () => connectIn(netnsPath, port, timeoutMs));
  try {
    const fd = await abortable(connecting, signal);
    return new Socket({ fd, readable: true, writable: true, allowHalfOpen: true });
  } catch (error) {
    if (signal.aborted) {
      // The thread is not interrupted; what it still brings within its time is closed.
      void connecting.then(closeSync, () => undefined);
      throw error;
    }
    const where = `port ${port}${netnsPath === undefined ? "" : ` in ${netnsPath}`}`;
    const unreachable = ["ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH"].includes(errnoCode(error) ?? "");
    throw wrapError(where, error, unreachable ? "unavailable" : "internal");
  }
}

async function inTurn<T>(namespace: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const limiter = connectors.get(namespace) ?? new Limiter(MAX_CONNECTING);
  connectors.set(namespace, limiter);
  try {
    return await limiter.run(signal, work);
  } finally {
    if (limiter.unused) connectors.delete(namespace);
  }
}

async function connectIn(netnsPath: string | undefined, port: number, timeoutMs: number): Promise<number> {
  if (netnsPath === undefined) return await native.loopbackConnect(-1, port, timeoutMs);
  const netnsFd = openSync(netnsPath, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    return await native.loopbackConnect(netnsFd, port, timeoutMs);
  } finally {
    closeSync(netnsFd);
  }
}
