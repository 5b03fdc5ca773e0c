/**
 * UpdateRuntimeConfig: the ranges that the cluster has given this node's pods, "10.1.2.0/24" or "10.1.2.0/24,fd00:2::/64".
 * They go to the network, which may have a use for them: the plugins of CNI have, the embedded bridge keeps its own.
 */
import { GantryError, wrapError } from "../base/errors.ts";
import { formatSubnet, networkOf } from "../network/ip-address.ts";
import type { EngineContext } from "./engine-context.ts";

/** Nothing happens for an empty text. @throws invalid-argument, and then nothing has changed. */
export async function setPodCidrs(context: EngineContext, text: string): Promise<void> {
  const parts = text.split(",").map((part) => part.trim());
  if (parts.length === 1 && parts[0] === "") return;
  const podCidrs = parts.map((part) => {
    try {
      return networkOf(part);
    } catch (error) {
      throw wrapError("pod CIDR", error);
    }
  });
  const families = podCidrs.map(({ family }) => family);
  if (new Set(families).size !== families.length)
    throw new GantryError(
      "invalid-argument",
      `pod CIDR ${JSON.stringify(text)} has two ranges of one family`,
    );
  await context.network.setPodCidrs?.(podCidrs.map(formatSubnet));
}
