/**
 * Which plugins this daemon has started, one file each, for the next daemon: one that was killed could not end them,
 * and they need not mind that their socket is closed.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { errnoCode, errorMessage } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import { processAddon } from "../native/process.ts";

export class LaunchRecords {
  readonly #directory: string;

  /** @param directory of this daemon and those after it. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** To be called as soon as the process is there, which must lead its process group. */
  add(name: string, pid: number): void {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    writeFileSync(join(this.#directory, name), `${pid} ${processAddon.processStartTime(pid)} ${bootId()}`);
  }

  delete(name: string): void {
    rmSync(join(this.#directory, name), { force: true });
  }

  /** Ends the plugins of an earlier daemon, with their process groups. What cannot be ended is told. */
  endAll(log: Logger): void {
    for (const name of this.#names()) {
      try {
        const [pid, startTime, boot] = readFileSync(join(this.#directory, name), "utf8").split(" ");
        if (boot === bootId() && isRunning(Number(pid), Number(startTime))) {
          process.kill(-Number(pid), "SIGKILL");
          log.warn({ plugin: name, pid }, "ended a plugin of an earlier daemon");
        }
        this.delete(name);
      } catch (error) {
        log.error({ plugin: name, err: errorMessage(error) }, "ending a plugin of an earlier daemon failed");
      }
    }
  }

  #names(): string[] {
    try {
      return readdirSync(this.#directory);
    } catch (error) {
      if (errnoCode(error) === "ENOENT") return [];
      throw error;
    }
  }
}

/** A pid can be another process's by now. */
function isRunning(pid: number, startTime: number): boolean {
  return pid > 1 && startTime > 0 && processAddon.processStartTime(pid) === startTime;
}

function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}
