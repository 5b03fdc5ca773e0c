/**
 * The network of a pod: what the engine asks of the embedded bridge, and of CNI.
 *
 * A pod's network namespace exists and is pinned before `setup`, and is unpinned after `teardown`. Both are
 * idempotent; `setup` that fails leaves no address, device or rule; `teardown` succeeds on what is already gone,
 * a namespace that no longer exists included.
 */

export interface PortMapping {
  protocol: "tcp" | "udp" | "sctp";
  /** 1–65535. */
  containerPort: number;
  /** 1–65535; mappings without a host port are not passed. */
  hostPort: number;
  /** Empty for all addresses. */
  hostIp: string;
}

export interface PodNetworkRequest {
  podSandboxId: string;
  name: string;
  namespace: string;
  uid: string;
  /** Path of the pinned network namespace. */
  netnsPath: string;
  portMappings: readonly PortMapping[];
  annotations: Readonly<Record<string, string>>;
  cgroupParent: string;
  dns: { servers: string[]; searches: string[]; options: string[] };
}

export interface PodNetworkResult {
  /** Addresses without prefix, the pod's primary one first. */
  ips: string[];
  /** The interface inside the namespace: "eth0". */
  interfaceName: string;
  /** What teardown needs; JSON, kept by the engine in the pod's record. */
  state: unknown;
}

export interface PodNetwork {
  /** "embedded", "cni", or "none" for a loopback only. */
  readonly name: string;
  /** For the NetworkReady condition. */
  status(): { ready: boolean; reason: string; message: string };
  /** Facts for who debugs, JSON-encodable: what of the network's configuration is in force. Absent: nothing to tell. */
  describe?(): Record<string, unknown>;
  setup(request: PodNetworkRequest, signal: AbortSignal): Promise<PodNetworkResult>;
  /** @param state from the result; undefined when setup never finished. */
  teardown(request: PodNetworkRequest, state: unknown, signal: AbortSignal): Promise<void>;
  /** A pod that never came to be, and could not be torn down: it is as soon as it can be. Absent: at the next start. */
  abandon?(podSandboxId: string): void;
  /** At start: releases what belongs to no pod of this list. */
  collect(podSandboxIds: ReadonlySet<string>): Promise<void>;
  /** The ranges of the node's pods, as its cluster has chosen them; valid subnets. Absent: they have no effect. */
  setPodCidrs?(podCidrs: readonly string[]): Promise<void>;
  /** At a clean stop of the daemon without pods, removes host-wide things (bridge, nftables table) of this instance. */
  close(): Promise<void>;
}
