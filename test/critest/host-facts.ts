/** What of this machine decides what the suite can find: it stands in each result, so that results can be compared. */
import { existsSync, readFileSync } from "node:fs";
import { arch, cpus, release, totalmem } from "node:os";

export interface HostFacts {
  kernel: string;
  architecture: string;
  distribution: string;
  processors: number;
  memoryBytes: number;
  /** "v2" alone, "v1" alone, or "hybrid": v1 with a v2 hierarchy without controllers beside it. */
  cgroups: "v1" | "v2" | "hybrid";
  appArmor: boolean;
  selinux: boolean;
}

export function hostFacts(): HostFacts {
  return {
    kernel: release(),
    architecture: arch(),
    distribution: /^PRETTY_NAME="?([^"\n]*)/m.exec(textOf("/etc/os-release"))?.[1] ?? "",
    processors: cpus().length,
    memoryBytes: totalmem(),
    cgroups: cgroupLayout(),
    appArmor: textOf("/sys/module/apparmor/parameters/enabled").startsWith("Y"),
    selinux: existsSync("/sys/fs/selinux/enforce"),
  };
}

function cgroupLayout(): HostFacts["cgroups"] {
  if (existsSync("/sys/fs/cgroup/cgroup.controllers")) return "v2";
  return existsSync("/sys/fs/cgroup/unified/cgroup.procs") ? "hybrid" : "v1";
}

function textOf(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}
