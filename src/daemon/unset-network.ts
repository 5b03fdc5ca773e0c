/**
 * The network of a daemon for which none was chosen: the node is not ready, and only pods on the host's network run.
 * So that nothing is made on a node behind the back of who installs its network.
 */
import { GantryError } from "../base/errors.ts";
import type { PodNetwork } from "../network/pod-network.ts";

const MESSAGE = `no pod network is configured: set mode in [network] to "cni", "embedded" or "none"`;

export function createUnsetNetwork(): PodNetwork {
  return {
    name: "unset",
    status: () => ({ ready: false, reason: "NetworkNotConfigured", message: MESSAGE }),
    setup: () => Promise.reject(new GantryError("failed-precondition", MESSAGE)),
    teardown: () => Promise.resolve(),
    collect: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
}
