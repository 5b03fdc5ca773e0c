/**
 * The network that the configuration names. Pods that an earlier choice has connected keep that one beside it, until
 * they are gone: a node may be reconfigured while pods run.
 */
import { createHash } from "node:crypto";
import type { Logger } from "../base/logger.ts";
import { createBridgeNetwork } from "../network/bridge-network.ts";
import { createCniNetwork } from "../network/cni-network.ts";
import { withFormerNetworks } from "../network/former-networks.ts";
import { createLoopbackNetwork } from "../network/loopback-network.ts";
import type { PodNetwork } from "../network/pod-network.ts";
import type { RecordStore } from "../store/record-store.ts";
import type { Config } from "./config-schema.ts";
import { createUnsetNetwork } from "./unset-network.ts";

/** Where each keeps what it has connected. */
const RECORDS = { cni: "cni_attachments", embedded: "bridge_leases" } as const;

export function createNetwork(config: Config, store: RecordStore, log: Logger): PodNetwork {
  const { mode } = config.network;
  const former = (["cni", "embedded"] as const).filter(
    (other) => other !== mode && store.table(RECORDS[other]).list().length > 0,
  );
  if (former.length > 0)
    log.info({ mode, former }, "pods of another network are looked after until they are gone");
  return withFormerNetworks(
    create(mode, config, store, log),
    former.map((other) => create(other, config, store, log)),
  );
}

function create(
  mode: Config["network"]["mode"],
  config: Config,
  store: RecordStore,
  log: Logger,
): PodNetwork {
  const { bridge, subnet, subnet6 } = config.network;
  switch (mode) {
    case "unset":
      return createUnsetNetwork();
    case "cni":
      return createCniNetwork({
        confDirectory: config.cni.conf_dir,
        pluginDirectories: config.cni.bin_dirs,
        cacheDirectory: config.cni.cache_dir,
        netnsDirectory: config.cni.netns_dir,
        maxNetworks: config.cni.max_networks,
        confTemplate: config.cni.conf_template,
        pluginTimeoutMs: config.cni.plugin_timeout_seconds * 1000,
        records: store.table(RECORDS.cni),
        podCidrs: store.table("cni_node"),
        log,
      });
    case "none":
      return createLoopbackNetwork();
    case "embedded":
      return createBridgeNetwork({
        bridge,
        subnet,
        ...(subnet6 !== "" && { subnet6 }),
        // A daemon is its root directory: another one that was given the same bridge by mistake is told apart.
        instance: `${bridge.replaceAll(".", "-")}-${createHash("sha256").update(config.root).digest("hex").slice(0, 8)}`,
        leases: store.table(RECORDS.embedded),
        log,
      });
  }
}
