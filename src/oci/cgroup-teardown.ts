/**
 * The end of a group: listing and killing its processes, and deleting its directories with those below them.
 *
 * A directory can be deleted once no process and no group is in it; a killed process leaves when the kernel is
 * done with it, so deleting is retried, ever more slowly, until it succeeds or the caller gives up.
 */
import { join } from "node:path";
import { delay } from "../base/abort.ts";
import { errnoCode, wrapError } from "../base/errors.ts";
import type { CgroupFiles } from "./cgroup-files.ts";

const LONGEST_PAUSE_MS = 50;

/** Pids of the group in this directory and of those below it; pids of other PID namespaces (0) are left out. */
export function processesIn(files: CgroupFiles, directory: string): number[] {
  const text = listing(files, directory);
  if (text === undefined) return [];
  const pids = text.split("\n").map(Number).filter(Boolean);
  for (const child of files.children(directory)) pids.push(...processesIn(files, join(directory, child)));
  return pids;
}

/** EOPNOTSUPP, which Node calls ENOTSUP: a threaded group of v2 lists none: its processes are those of the group above that is none. */
function listing(files: CgroupFiles, directory: string): string | undefined {
  try {
    return files.read(join(directory, "cgroup.procs"));
  } catch (error) {
    if (errnoCode(error) === "ENOTSUP") return "";
    throw wrapError(`cgroup: read ${join(directory, "cgroup.procs")}`, error);
  }
}

/**
 * SIGKILL to all of the group: at once through cgroup.kill where the directory has it, else one by one until a
 * listing is empty or holds only processes that are dying.
 */
export function killAll(files: CgroupFiles, directory: string): void {
  const killFile = join(directory, "cgroup.kill");
  if (listing(files, directory) === undefined) return;
  try {
    files.write(killFile, "1");
    return;
  } catch (error) {
    // ENODEV: it has gone between being opened and written to, as a scope does with its last process.
    if (!["ENOENT", "ENODEV", "EACCES", "ENOTSUP"].includes(errnoCode(error) ?? ""))
      throw wrapError(`cgroup: write ${killFile}`, error);
  }
  const killed = new Set<number>();
  for (;;) {
    const fresh = processesIn(files, directory).filter((pid) => !killed.has(pid));
    if (fresh.length === 0) return;
    for (const pid of fresh) {
      killed.add(pid);
      try {
        process.kill(pid, "SIGKILL");
      } catch (error) {
        if (errnoCode(error) !== "ESRCH") throw wrapError(`cgroup: kill ${pid} in ${directory}`, error);
      }
    }
  }
}

/**
 * Deletes the directories and the groups below them, killing what is in them. Those that are not there are no
 * error. Rejects with the signal's reason when it aborts first.
 * @param beforeKill called before processes are killed: what keeps them from dying is taken away there.
 */
export async function removeDirectories(
  files: CgroupFiles,
  directories: readonly string[],
  signal: AbortSignal,
  beforeKill?: () => void,
): Promise<void> {
  let left = [...directories];
  for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    left = left.filter((directory) => !removeTree(files, directory));
    if (left.length === 0) return;
    signal.throwIfAborted();
    beforeKill?.();
    for (const directory of left) killAll(files, directory);
    await delay(pauseMs, signal);
  }
}

/** True when the directory is gone, with the empty ones below it. */
function removeTree(files: CgroupFiles, directory: string): boolean {
  if (removeOne(files, directory)) return true;
  const children = files.children(directory);
  const gone = children.map((child) => removeTree(files, join(directory, child))).every(Boolean);
  return children.length > 0 && gone && removeOne(files, directory);
}

/** Deletes each directory in which nothing is. True when all are gone. */
export function removeEmptyDirectories(files: CgroupFiles, directories: readonly string[]): boolean {
  return directories.map((directory) => removeOne(files, directory)).every(Boolean);
}

function removeOne(files: CgroupFiles, directory: string): boolean {
  try {
    files.rmdir(directory);
    return true;
  } catch (error) {
    const code = errnoCode(error);
    if (code === "ENOENT") return true;
    if (code === "EBUSY" || code === "ENOTEMPTY") return false;
    throw wrapError(`cgroup: delete ${directory}`, error);
  }
}
