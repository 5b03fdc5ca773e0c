/**
 * A container's configuration as an external runtime reads it, from the one that Gantry's own executor compiles.
 * What the specification has no words for is made before, in the mount namespace that the runtime runs in
 * (external-plan.ts), and bound from there: volumes out of images, and volumes with id mappings.
 */
import { join } from "node:path";
import { deviceBinds } from "../device-lookup.ts";
import { hasIdMap } from "../plan-host-phase.ts";
import { SUB_PATH_OPTION } from "../plan-mounts.ts";
import type { Mount, Spec } from "../runtime-spec.ts";

/** Names in the directory of a bundle. */
export const BUNDLE = {
  config: "config.json",
  rootfs: "rootfs",
  mounts: "mounts",
  log: "log.json",
  pid: "pid",
  console: "console",
} as const;

/** A mount that is made before the runtime runs, on a path of its own. */
export interface PreparedMount {
  mount: Mount;
  path: string;
}

export interface ExternalConfig {
  spec: Spec;
  prepared: PreparedMount[];
}

/** What all runtimes of this kind have known since 2020. */
const OLD_VERSION = "1.0.2";

export interface ExternalConfigOptions {
  bundle: string;
  /** ociVersionMax of the runtime's features. */
  ociVersionMax: string | undefined;
  annotations: Record<string, string>;
}

export function externalConfig(spec: Spec, options: ExternalConfigOptions): ExternalConfig {
  const linux = { ...spec.linux };
  const mounts = [...(spec.mounts ?? [])];
  if (linux.namespaces?.some(({ type }) => type === "user")) {
    mounts.push(...deviceBinds(linux.devices ?? []));
    linux.devices = [];
  }
  const prepared: PreparedMount[] = [];
  const written = mounts.map((mount, index) => {
    if (mount.type !== "image" && !hasIdMap(mount)) return mount;
    const path = join(options.bundle, BUNDLE.mounts, String(index));
    prepared.push({ mount, path });
    return boundFrom(mount, path);
  });
  const known = options.ociVersionMax ?? OLD_VERSION;
  return {
    spec: {
      ...spec,
      ociVersion: isOlder(known, spec.ociVersion) ? known : spec.ociVersion,
      root: { ...spec.root, path: join(options.bundle, BUNDLE.rootfs) },
      mounts: written,
      annotations: { ...spec.annotations, ...options.annotations },
      linux,
    },
    prepared,
  };
}

/** The same mount, of what was prepared. */
function boundFrom({ destination, type, options = [] }: Mount, source: string): Mount {
  if (type === "image") {
    const rest = options.filter((option) => !option.startsWith(SUB_PATH_OPTION));
    return { destination, type: "bind", source, options: ["rbind", "rprivate", ...rest] };
  }
  const rest = options.filter((option) => option !== "idmap" && option !== "ridmap");
  return { destination, type: "bind", source, options: rest };
}

function isOlder(version: string, than: string): boolean {
  const [one, two] = [version, than].map((text) => text.split(/[.+-]/).slice(0, 3).map(Number));
  for (const [index, part] of (one ?? []).entries()) {
    const other = two?.[index] ?? 0;
    if (part !== other) return part < other;
  }
  return false;
}
