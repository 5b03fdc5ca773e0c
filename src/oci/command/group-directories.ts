/** The directories of a container's control group, whichever driver has made it, by the v1 controllers that they are for. */
import { dirname } from "node:path";
import { kernelCgroupFiles } from "../cgroup-files.ts";
import { findHierarchies } from "../cgroup-hierarchies.ts";
import { createCgroupManager } from "../cgroup-manager.ts";

export interface GroupDirectories {
  version: "v1" | "v2";
  /** Each once; with no controllers for systemd's own. */
  v1: { directory: string; controllers: readonly string[] }[];
  /** In the v2 hierarchy. */
  unified: string | undefined;
}

/** @param cgroupPath as it is stored, in the driver's syntax. */
export function groupDirectories(cgroupPath: string): GroupDirectories {
  const { version, v1 } = findHierarchies("/sys/fs/cgroup", kernelCgroupFiles);
  const { tasksFiles, unifiedDirectory } = createCgroupManager().load(cgroupPath).entries();
  return {
    version,
    v1: tasksFiles.map((file) => ({
      directory: dirname(file),
      controllers: [...v1]
        .filter(([, root]) => file.startsWith(`${root}/`))
        .map(([controller]) => controller),
    })),
    unified: unifiedDirectory,
  };
}
