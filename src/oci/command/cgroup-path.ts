/** Where a container's control group is: what the configuration asks for, in the syntax of the driver, or a default. */
import { resolve } from "node:path";
import { GantryError } from "../../base/errors.ts";
import type { Spec } from "../runtime-spec.ts";

/** Of containers whose configuration names no cgroup; deleted with the last of them. */
export const DEFAULT_CGROUP_PARENT = "/gantry-oci";

/** @throws GantryError invalid-argument. */
export function containerCgroupPath(spec: Spec, id: string, systemd: boolean): string {
  const given = spec.linux?.cgroupsPath;
  if (!systemd) return given ? resolve("/", given) : `${DEFAULT_CGROUP_PARENT}/${id}`;
  if (!given) return `system.slice:gantry-oci:${id}`;
  if (given.split(":").length !== 3)
    throw new GantryError(
      "invalid-argument",
      `config.json: linux.cgroupsPath: expected "slice:prefix:name" with --systemd-cgroup, got ${JSON.stringify(given)}`,
    );
  return given;
}
