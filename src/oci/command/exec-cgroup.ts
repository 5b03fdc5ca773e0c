/**
 * Where `exec --cgroup` puts a process: a group below the container's own, that exists already. "PATH" is for every
 * hierarchy; "CONTROLLER[,CONTROLLER]:PATH" for those of v1 that have the controller.
 */
import { existsSync } from "node:fs";
import { join, normalize, relative } from "node:path";
import { GantryError } from "../../base/errors.ts";
import { createCgroupManager } from "../cgroup-manager.ts";
import type { CgroupEntries } from "../cgroup.ts";
import { groupDirectories } from "./group-directories.ts";

/**
 * @param cgroupPath the container's, as it is stored.
 * @throws GantryError invalid-argument for a path that leaves the container's group, not-found for one that is not there.
 */
export function execCgroupEntries(
  cgroupPath: string,
  initPid: number,
  wanted: readonly string[],
): CgroupEntries {
  if (wanted.length === 0) return createCgroupManager().load(cgroupPath).execEntries(initPid);
  const own = groupDirectories(cgroupPath);
  const paths = new Map<string, string>();
  for (const text of wanted) {
    const colon = text.indexOf(":");
    const controllers = colon < 0 ? [""] : text.slice(0, colon).split(",");
    const path = checkedPath(text.slice(colon + 1), text);
    if (colon >= 0 && own.version === "v2")
      throw new GantryError("invalid-argument", `--cgroup ${text}: there are no controllers to choose on v2`);
    for (const controller of controllers) {
      if (paths.has(controller))
        throw new GantryError("invalid-argument", `--cgroup ${text}: given twice for the same hierarchy`);
      paths.set(controller, path);
    }
  }
  const everywhere = paths.get("");
  const unused = new Set([...paths.keys()].filter((controller) => controller !== ""));
  const tasksFiles = own.v1.map(({ directory, controllers }) => {
    const chosen = controllers.find((controller) => paths.has(controller));
    for (const controller of controllers) unused.delete(controller);
    return join(existing(directory, (chosen && paths.get(chosen)) ?? everywhere), "tasks");
  });
  const [unknown] = unused;
  if (unknown !== undefined)
    throw new GantryError("not-found", `--cgroup ${unknown}: there is no hierarchy with this controller`);
  return own.unified === undefined
    ? { tasksFiles }
    : { unifiedDirectory: existing(own.unified, everywhere), tasksFiles };
}

function checkedPath(path: string, text: string): string {
  const normal = normalize(`/${path}`);
  if (path.split("/").includes("..") || path.includes("\0"))
    throw new GantryError("invalid-argument", `--cgroup ${text}: the path leaves the container's group`);
  return relative("/", normal);
}

function existing(directory: string, path: string | undefined): string {
  const group = join(directory, path ?? "");
  if (!existsSync(group)) throw new GantryError("not-found", `--cgroup: ${group} does not exist`);
  return group;
}
