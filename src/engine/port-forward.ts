/** PortForward: a TCP connection to what listens inside a pod, on its own network or the host's. */
import type { Duplex } from "node:stream";
import { GantryError, wrapError } from "../base/errors.ts";
import type { EngineContext } from "./engine-context.ts";

/** On the loopback interface there is an answer at once, unless the listener's queue is full. */
const CONNECT_TIMEOUT_MS = 10_000;

export async function portForward(
  context: EngineContext,
  podSandboxId: string,
  port: number,
  signal: AbortSignal,
): Promise<Duplex> {
  const { sandbox } = context.pods.get(podSandboxId);
  if (sandbox.state !== "ready")
    throw new GantryError("failed-precondition", `pod sandbox "${sandbox.id}" is not ready`);
  try {
    return await context.host.connectLoopback(sandbox.netnsPath, port, CONNECT_TIMEOUT_MS, signal);
  } catch (error) {
    throw wrapError(`pod sandbox "${sandbox.id}"`, error);
  }
}
