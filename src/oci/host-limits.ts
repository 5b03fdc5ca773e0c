/**
 * What this process can hand on to a container: its bounding set and how far it may lower the OOM score. Read
 * once; a daemon in a container of its own has less than a host's root.
 */
import { readFileSync } from "node:fs";
import { CAPABILITY_NAMES } from "./capabilities.ts";

export interface HostLimits {
  /** Bit n is capability n: in our bounding set, permitted to us, and known to this kernel. */
  capabilities: bigint;
  /** The lowest oom_score_adj that can be set: without CAP_SYS_RESOURCE our own is. */
  oomScoreAdjMin: number;
}

const SYS_RESOURCE = 1n << BigInt(CAPABILITY_NAMES.indexOf("CAP_SYS_RESOURCE"));

let cached: HostLimits | undefined;

export function hostLimits(): HostLimits {
  return (cached ??= readHostLimits());
}

function readHostLimits(): HostLimits {
  const status = readFileSync("/proc/self/status", "latin1");
  const field = (name: string): bigint =>
    BigInt(`0x${new RegExp(`^${name}:\\s*([0-9a-f]+)$`, "m").exec(status)?.[1] ?? "0"}`);
  const lastCapability = Number(readFileSync("/proc/sys/kernel/cap_last_cap", "latin1"));
  const known = (1n << BigInt(Math.min(lastCapability + 1, CAPABILITY_NAMES.length))) - 1n;
  const capabilities = field("CapBnd") & field("CapPrm") & known;
  const own = Number(readFileSync("/proc/self/oom_score_adj", "latin1"));
  return Object.freeze({ capabilities, oomScoreAdjMin: field("CapEff") & SYS_RESOURCE ? -1000 : own });
}
