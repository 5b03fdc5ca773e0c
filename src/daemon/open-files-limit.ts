/**
 * How many files a container may open: as many as gantryd could when it was started. Node raises its own soft limit to
 * the hard one, and many programs take the soft limit as a number of descriptors to walk through or to reserve for.
 */
import { readFileSync } from "node:fs";

/** What the kernel gives the first process (getrlimit(2)). */
const DEFAULT_SOFT = 1024;

export interface OpenFilesLimit {
  soft: number;
  hard: number;
}

/**
 * @param environment GANTRY_OPEN_FILES is the soft limit from before Node, as bin/gantryd says.
 * @param limits text of /proc/self/limits (proc_pid_limits(5)).
 * @returns undefined where the kernel's text is not understood; containers then inherit.
 */
export function openFilesLimit(
  environment: NodeJS.ProcessEnv = process.env,
  limits: string = readFileSync("/proc/self/limits", "utf8"),
): OpenFilesLimit | undefined {
  const hard = Number(/^Max open files +\d+ +(\d+)/m.exec(limits)?.[1]);
  if (!Number.isSafeInteger(hard)) return undefined;
  const before = environment["GANTRY_OPEN_FILES"] ?? "";
  return { soft: Math.min(/^\d+$/.test(before) ? Number(before) : DEFAULT_SOFT, hard), hard };
}
