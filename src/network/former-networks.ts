/**
 * A network that was chosen in place of another one: new pods go to it, and pods that were connected by an earlier
 * choice are looked after by who connected them, until they are gone.
 */
import { runAll } from "../base/cleanup.ts";
import type { PodNetwork } from "./pod-network.ts";

/** @param former those that may still have pods; each knows its own, and does nothing for others. */
export function withFormerNetworks(network: PodNetwork, former: readonly PodNetwork[]): PodNetwork {
  if (former.length === 0) return network;
  const all = [network, ...former];
  const each = (name: string, step: (one: PodNetwork) => Promise<void>): Promise<void> =>
    runAll(all.map((one) => ({ name: `${name} of the network "${one.name}"`, step: () => step(one) })));
  return {
    name: network.name,
    status: () => network.status(),
    describe: () => ({ ...network.describe?.(), formerNetworks: former.map(({ name }) => name) }),
    setup: (request, signal) => network.setup(request, signal),
    teardown: (request, state, signal) => each("teardown", (one) => one.teardown(request, state, signal)),
    abandon: (podSandboxId) => all.forEach((one) => one.abandon?.(podSandboxId)),
    collect: (podSandboxIds) => each("collection", (one) => one.collect(podSandboxIds)),
    setPodCidrs: async (podCidrs) => network.setPodCidrs?.(podCidrs),
    close: () => each("end", (one) => one.close()),
  };
}
