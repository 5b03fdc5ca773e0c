/**
 * Processes by the addon: spawning a shim that is nobody's child, and signalling a process that is known by pid
 * and start time, so that a reused pid is never hit.
 */
import { addon } from "./addon.ts";

export interface SpawnedShim {
  pid: number;
  /** This side's end of the socket that the shim has as descriptor 3. The caller closes it. */
  fd: number;
}

export interface ProcessAddon {
  /**
   * Starts a program detached: own session, not our child, standard streams /dev/null, working directory "/", no
   * environment, every other descriptor closed. Returns once it has executed.
   *
   * @param args without the program's own name.
   * @param unifiedDirectory the v2 group to be born in; "" for that of this process.
   * @param tasksFiles `tasks` files of v1 groups to be joined.
   * @throws an Error with code, syscall and path where a step fails; nothing is left then.
   */
  spawnShim(program: string, args: string[], unifiedDirectory: string, tasksFiles: string[]): SpawnedShim;
  /** Start time in clock ticks since boot (field 22 of proc_pid_stat(5)), 0 where there is no such process or only its zombie. */
  processStartTime(pid: number): number;
  /**
   * Sends a signal to the process of this pid if it started at this time.
   *
   * @returns false where that process is gone.
   */
  killProcess(pid: number, startTime: number, signal: number): boolean;
}

export const processAddon: ProcessAddon = addon as ProcessAddon;
