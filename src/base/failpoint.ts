/**
 * Failpoints: named places between two durable steps where a crash test has the daemon die.
 *
 * GANTRY_FAILPOINT names the point; with `@/PATH` the file of that path does, read each time, so that a test can
 * choose while the daemon runs. Without the variable a point is one comparison.
 *
 * A point stands after the step that it is named after. To add one, name it here and call it there: a name that is
 * in no call fails the crash test, and a call with no name does not compile.
 */
import { readFileSync } from "node:fs";

export const FAILPOINTS = [
  "pod-run:directory",
  "pod-run:namespaces",
  "pod-run:shm",
  "bridge-setup:lease",
  "bridge-setup:link",
  "cni-setup:record",
  "cni-setup:namespace",
  "cni-setup:plugin",
  "cni-setup:add",
  "pod-run:network",
  "pod-run:pause",
  "pod-run:record",

  "container-create:snapshot",
  "container-create:image-volumes",
  "container-create:record",

  "cgroup-create:directory",
  "container-start:cgroup",
  "container-start:bundle",
  "external:bundle",
  "shim-start:directory",
  "shim-start:spawn",
  "shim-start:launch",
  "container-start:shim",
  "container-start:record",
  "container-start:failure",

  "container-update:limits",
  "container-update:record",

  "container-stop:signal",
  "container-exit:seen",
  "container-exit:record",
  "container-exit:kill",
  "external:delete",
  "container-exit:shim",
  "container-exit:cgroup",
  "container-exit:hooks",

  "container-remove:stop",
  "container-remove:release",
  "container-remove:image-volumes",
  "container-remove:snapshot",
  "container-remove:record",

  "pod-stop:mark",
  "pod-stop:containers",
  "bridge-teardown:link",
  "bridge-teardown:lease",
  "cni-teardown:plugin",
  "cni-teardown:cache",
  "cni-teardown:namespace",
  "cni-teardown:record",
  "pod-stop:network",
  "pod-stop:pause",
  "pod-stop:shm",
  "pod-stop:namespaces",
  "pod-stop:record",

  "pod-remove:containers",
  "pod-remove:directory",
  "pod-remove:cgroup",
  "pod-remove:record",

  "pull:manifest",
  "pull:config",
  "pull:layer-begin",
  "pull:layer-unpack",
  "pull:layer-commit",
  "pull:chain",
  "pull:record",
  "content-store:ingest",
  "content-store:rename",

  "image-remove:record",
  "image-collect:snapshot",
  "image-collect:layer",
  "image-collect:blob",

  "recovery:pods",
  "recovery:containers",
  "recovery:garbage",
] as const;

export type Failpoint = (typeof FAILPOINTS)[number];

const source = process.env["GANTRY_FAILPOINT"];

/** Kills this process, as SIGKILL does at any instant, if this point is the chosen one. */
export function failpoint(name: Failpoint): void {
  if (source === undefined) return;
  if (chosen(source) === name) process.kill(process.pid, "SIGKILL");
}

function chosen(value: string): string {
  if (!value.startsWith("@")) return value;
  try {
    return readFileSync(value.slice(1), "utf8").trim();
  } catch {
    return "";
  }
}
