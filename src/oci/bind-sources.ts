/**
 * Sources of bind mounts as the executor wants them: without symbolic links. They are followed once, here, on the host;
 * who later swaps a part of the path for a link gets an error, and nothing else mounted. Here a link to the root
 * directory shows as what it is, too.
 */
import { realpathSync } from "node:fs";
import { resolve } from "node:path";
import type { Mount, Spec } from "./runtime-spec.ts";

export function isBind({ type, options }: Mount): boolean {
  return type === "bind" || (options?.some((option) => option === "bind" || option === "rbind") ?? false);
}

/** What cannot be followed stays as it is, for the executor to name. A mount whose source stays is the same object. */
export function followedSources(mounts: readonly Mount[]): Mount[] {
  return mounts.map((mount) => {
    if (!isBind(mount) || !mount.source?.startsWith("/")) return mount;
    const source = realPath(mount.source);
    return source === mount.source ? mount : { ...mount, source };
  });
}

/** A configuration whose bind mounts have such sources. Relative ones are those of a bundle. */
export function withFollowedSources(spec: Spec, bundle?: string): Spec {
  if (!spec.mounts) return spec;
  const mounts = spec.mounts.map((mount) =>
    bundle !== undefined && mount.source && isBind(mount)
      ? { ...mount, source: resolve(bundle, mount.source) }
      : mount,
  );
  return { ...spec, mounts: followedSources(mounts) };
}

function realPath(path: string): string {
  try {
    return realpathSync.native(path);
  } catch {
    return path;
  }
}
