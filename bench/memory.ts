/** Proportional set size of a runtime: its daemon and every helper process that came with the pods. */
import { readdir, readFile } from "node:fs/promises";

/** Bytes, by pid, of every process but this one and those whose name is in `except` (the containers' own command). */
export async function memoryByProcess(except: ReadonlySet<string>): Promise<Map<number, number>> {
  const found = new Map<number, number>();
  await Promise.all(
    (await readdir("/proc"))
      .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
      .map(async (pid) => {
        try {
          const comm = (await readFile(`/proc/${pid}/comm`, "utf8")).trim();
          if (except.has(comm)) return;
          const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
          const kib = /^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1];
          if (kib !== undefined) found.set(Number(pid), Number(kib) * 1024);
        } catch {
          // The process ended, or is a kernel thread.
        }
      }),
  );
  return found;
}

/** Growth of the daemon itself plus all of the processes that are new. */
export function growth(before: Map<number, number>, after: Map<number, number>, daemonPid: number): number {
  let total = (after.get(daemonPid) ?? 0) - (before.get(daemonPid) ?? 0);
  for (const [pid, bytes] of after) if (!before.has(pid)) total += bytes;
  return total;
}
