/** What of the containers below a directory, or in a control group, is still in the system. */
import { globSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";

export async function processesBelow(directory: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    const command = (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).replaceAll("\0", " ");
    if (command.includes(directory)) found.push(`process ${pid}: ${command}`);
  }
  return found;
}

export async function mountsBelow(directory: string): Promise<string[]> {
  const mounts = await readFile("/proc/self/mountinfo", "utf8");
  // The storage driver keeps its own directory as a mount.
  return mounts
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((point) => point.startsWith(`${directory}/`) && point !== `${directory}/root/vfs`)
    .map((point) => `mount ${point}`);
}

/** Groups with this name as a part of theirs. */
export function filesBelowCgroups(name: string): string[] {
  return globSync([`/sys/fs/cgroup/${name}/*/`, `/sys/fs/cgroup/*/${name}/*/`]).map(
    (path) => `cgroup ${path}`,
  );
}
