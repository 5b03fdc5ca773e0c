/**
 * Plugins that an earlier daemon started and that still run: they would attach what the next call detaches. They are
 * known by their environment, and by their program standing in one of the plugin directories.
 */
import { readdir, readFile, readlink } from "node:fs/promises";
import { delay } from "../base/abort.ts";
import { processAddon } from "../native/process.ts";

const POLL_MS = 25;

/**
 * Resolves when no plugin works for these containers any more.
 *
 * @param patienceMs those that still run then are killed.
 */
export async function outliveOrphans(
  containerIds: ReadonlySet<string>,
  pluginDirectories: readonly string[],
  patienceMs: number,
  signal: AbortSignal,
): Promise<void> {
  if (containerIds.size === 0) return;
  let orphans = await findOrphans(await readdir("/proc"), containerIds, pluginDirectories);
  for (const end = performance.now() + patienceMs; orphans.length > 0 && performance.now() < end;) {
    await delay(POLL_MS, signal);
    orphans = await findOrphans(orphans, containerIds, pluginDirectories);
  }
  for (const pid of orphans) {
    const startTime = processAddon.processStartTime(Number(pid));
    if (startTime === 0 || (await findOrphans([pid], containerIds, pluginDirectories)).length === 0) continue;
    processAddon.killProcess(Number(pid), startTime, 9);
  }
}

async function findOrphans(
  pids: readonly string[],
  containerIds: ReadonlySet<string>,
  directories: readonly string[],
): Promise<string[]> {
  const own = await pidNamespace("self");
  const found = await Promise.all(
    pids.map(async (pid) => {
      if (!/^\d+$/.test(pid) || (await pidNamespace(pid)) !== own) return false;
      const environment = await readFile(`/proc/${pid}/environ`, "latin1").catch(() => "");
      const id = /(?:^|\0)CNI_CONTAINERID=([^\0]*)/.exec(environment)?.[1];
      if (id === undefined || !containerIds.has(id)) return false;
      const program = await readlink(`/proc/${pid}/exe`).catch(() => "");
      const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
      // The second word is the plugin where that is a script.
      const paths = [program, ...command.split("\0").slice(0, 2)];
      return paths.some((path) => directories.some((directory) => path.startsWith(`${directory}/`)));
    }),
  );
  return pids.filter((_, index) => found[index]);
}

/**
 * A plugin is in the daemon's. A container's process is not, and is not looked into: reading its memory, where the
 * environment is, may wait for whatever it has mapped there.
 */
async function pidNamespace(pid: string): Promise<string> {
  return readlink(`/proc/${pid}/ns/pid`).catch(() => "");
}
