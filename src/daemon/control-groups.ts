/**
 * The control groups that the daemon itself needs: which driver makes them, where pods go that name no parent, and the
 * group of the shims, which is none of the daemon's own, so that whoever stops the service leaves them alone.
 */
import { errorKind, GantryError } from "../base/errors.ts";
import { createCgroupManager } from "../oci/cgroup-manager.ts";
import type { Cgroup, CgroupManager } from "../oci/cgroup.ts";
import type { Config } from "./config-schema.ts";

export interface ControlGroups {
  cgroups: CgroupManager;
  podParent: string;
  shims: Cgroup;
}

/** @throws GantryError failed-precondition, invalid-argument for a parent that is none with the driver. */
export async function openControlGroups({
  cgroup_driver,
  pod_cgroup,
  shim_cgroup,
}: Config["runtime"]): Promise<ControlGroups> {
  const directories = pod_cgroup.startsWith("/");
  const cgroups = createCgroupManager({
    driver: cgroup_driver === "auto" && directories ? "cgroupfs" : cgroup_driver,
  });
  const systemd = cgroups.driver === "systemd";
  if (pod_cgroup !== "" && directories === systemd)
    throw new GantryError(
      "invalid-argument",
      `runtime.pod_cgroup: ${JSON.stringify(pod_cgroup)} is no group of the ${cgroups.driver} driver`,
    );
  const podParent = pod_cgroup || (systemd ? "gantry.slice" : "/gantry");
  const shims = await ensureGroup(
    cgroups,
    shim_cgroup || (systemd ? "system.slice:gantry:shims" : "/gantry.shims"),
  );
  return { cgroups, podParent, shims };
}

/** The group, made now or by an earlier daemon whose shims are still in it. */
async function ensureGroup(cgroups: CgroupManager, path: string): Promise<Cgroup> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await cgroups.create(path, {});
    } catch (error) {
      if (errorKind(error) !== "already-exists") throw error;
    }
    const group = cgroups.load(path);
    try {
      await group.hold();
      return group;
    } catch (error) {
      // The last shim in it has gone at this moment, and the group with it.
      if (attempt === 2) throw error;
    }
  }
}
