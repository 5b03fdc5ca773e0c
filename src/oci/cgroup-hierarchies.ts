/**
 * The layout of the cgroup filesystems of this host.
 *
 *   v2      root/cgroup.controllers            one hierarchy
 *   v1      root/CONTROLLERS/…, root/systemd   one for each controller, or for several ("cpu,cpuacct")
 *   hybrid  v1, and root/unified               a v2 hierarchy besides; controllers are looked for on v1 first; of those
 *           that are in the v2 hierarchy only hugetlb is used
 */
import { join } from "node:path";
import { GantryError } from "../base/errors.ts";
import { controllersOf } from "./cgroup-controllers.ts";
import type { CgroupFiles } from "./cgroup-files.ts";

const V1_CONTROLLERS = new Set(
  "cpu cpuacct cpuset memory devices freezer blkio pids hugetlb net_cls net_prio perf_event rdma misc".split(
    " ",
  ),
);

export interface Hierarchies {
  version: "v1" | "v2";
  /** Mount point by v1 controller; empty on v2. */
  v1: ReadonlyMap<string, string>;
  /** Mount points of the v1 hierarchies, each once, the named one of systemd among them. */
  v1Roots: readonly string[];
  /** Mount point of the v2 hierarchy; undefined on a host of v1 alone. */
  unified: string | undefined;
  /** What the v2 hierarchy has; on a hybrid host few controllers or none. */
  unifiedControllers: ReadonlySet<string>;
}

/** @throws GantryError failed-precondition where no cgroup filesystem is mounted. */
export function findHierarchies(root: string, files: CgroupFiles): Hierarchies {
  if (files.read(join(root, "cgroup.controllers")) !== undefined) {
    return {
      version: "v2",
      v1: new Map(),
      v1Roots: [],
      unified: root,
      unifiedControllers: controllersOf(files, root),
    };
  }
  const v1 = new Map<string, string>();
  const v1Roots: string[] = [];
  let unified: string | undefined;
  for (const name of files.children(root).sort()) {
    const directory = join(root, name);
    const controllers = name.split(",");
    if (files.read(join(directory, "cgroup.procs")) === undefined) continue;
    if (files.read(join(directory, "cgroup.controllers")) !== undefined) {
      unified = directory;
    } else if (name === "systemd") {
      v1Roots.push(directory);
    } else if (controllers.every((controller) => V1_CONTROLLERS.has(controller))) {
      v1Roots.push(directory);
      for (const controller of controllers) v1.set(controller, directory);
    }
  }
  if (v1Roots.length === 0)
    throw new GantryError("failed-precondition", `no cgroup filesystem is mounted at ${root}`);
  const unifiedControllers = unified === undefined ? new Set<string>() : controllersOf(files, unified);
  return { version: "v1", v1, v1Roots, unified, unifiedControllers };
}
