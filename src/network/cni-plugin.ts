/**
 * Running one CNI plugin once (specification 1.1, section 2): found by name in the plugin directories, executed without
 * a shell, parameters in the environment, configuration on standard input, the result on standard output.
 *
 * Each runs in a session of its own, so that one that hangs is killed with what it has started. What it prints is
 * bounded.
 */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { delay } from "../base/abort.ts";
import { errnoCode, errorKind, errorMessage, GantryError, wrapError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import { runProgram } from "../native/program.ts";
import { pluginError } from "./cni-plugin-error.ts";
import type { JsonObject } from "./json-value.ts";

export type CniCommand = "ADD" | "DEL" | "CHECK" | "GC" | "STATUS" | "VERSION";

/** The parameters of one attachment; absent for GC, STATUS and VERSION. */
export interface CniParameters {
  containerId: string;
  /** Empty where the namespace is gone. */
  netnsPath: string;
  ifName: string;
  args: readonly (readonly [string, string])[];
}

export interface CniPluginsOptions {
  /** Searched in this order. */
  directories: readonly string[];
  /** A call that takes longer is ended. */
  timeoutMs: number;
  log: Logger;
}

const STDOUT_LIMIT_BYTES = 4 * 1024 * 1024;
const STDERR_LIMIT_BYTES = 8 * 1024;
/** A plugin that is being written just now cannot be executed (ETXTBSY). */
const BUSY_ATTEMPTS = 6;
const BUSY_WAIT_MS = 250;
const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export class CniPlugins {
  readonly directories: readonly string[];
  readonly #timeoutMs: number;
  readonly #log: Logger;

  constructor({ directories, timeoutMs, log }: CniPluginsOptions) {
    this.directories = directories;
    this.#timeoutMs = timeoutMs;
    this.#log = log;
  }

  /** The plugin's program. @throws GantryError failed-precondition that names the directories. */
  async find(type: string): Promise<string> {
    for (const directory of this.directories) {
      const path = join(directory, type);
      if (
        await stat(path).then(
          (found) => found.isFile(),
          () => false,
        )
      )
        return path;
    }
    throw new GantryError(
      "failed-precondition",
      `CNI plugin "${type}" is not in ${this.directories.join(", ") || "any directory: none is configured"}`,
    );
  }

  /**
   * Runs the plugin.
   *
   * @param input the request configuration.
   * @returns what it printed, parsed; undefined where it printed nothing.
   * @throws CniPluginError for its own refusal; deadline-exceeded or the signal's kind after it was killed.
   */
  async run(
    type: string,
    command: CniCommand,
    parameters: CniParameters | undefined,
    input: JsonObject,
    signal: AbortSignal,
  ): Promise<unknown> {
    const what = `CNI plugin "${type}": ${command}`;
    const program = await this.find(type);
    const limit = AbortSignal.timeout(this.#timeoutMs);
    const either = AbortSignal.any([signal, limit]);
    const environment = this.#environment(command, parameters);
    const startedAt = performance.now();
    for (let attempt = 1; ; attempt++) {
      try {
        const run = {
          path: program,
          environment,
          input: JSON.stringify(input),
          stdoutLimitBytes: STDOUT_LIMIT_BYTES,
          stderrLimitBytes: STDERR_LIMIT_BYTES,
        };
        const { stdout, stderr, failure, exceeded } = await runProgram(run, either);
        const durationMs = Math.round((performance.now() - startedAt) * 10) / 10;
        const facts = { plugin: type, command, containerId: parameters?.containerId, durationMs, failure };
        this.#log.debug({ ...facts, ...(stderr && { stderr }) }, "ran CNI plugin");
        if (exceeded)
          throw new GantryError(
            "resource-exhausted",
            `${what} printed more than ${STDOUT_LIMIT_BYTES} bytes`,
          );
        if (failure !== "") throw pluginError(what, { stdout, stderr, end: failure });
        return stdout.trim() === "" ? undefined : parseResult(what, stdout);
      } catch (error) {
        if (limit.aborted && !signal.aborted)
          throw new GantryError("deadline-exceeded", `${what} took longer than ${this.#timeoutMs / 1000} s`);
        if (signal.aborted) throw wrapError(`${what} was ended`, signal.reason);
        if (errnoCode(error) === "ETXTBSY" && attempt < BUSY_ATTEMPTS) {
          await delay(BUSY_WAIT_MS, either);
          continue;
        }
        if (errnoCode(error) !== undefined && errorKind(error) === "internal")
          throw wrapError(`${what}: execute ${program}`, error, "failed-precondition");
        throw error;
      }
    }
  }

  /** As the specification has it; the rest is the daemon's own, for plugins look for programs of the host. */
  #environment(command: CniCommand, parameters: CniParameters | undefined): string[] {
    const own = Object.entries(process.env).filter(
      ([name]) => !/^(CNI|GANTRY|NODE|NOTIFY|LISTEN)_/.test(name),
    );
    const variables = {
      PATH: DEFAULT_PATH,
      ...Object.fromEntries(own),
      CNI_COMMAND: command,
      CNI_CONTAINERID: parameters?.containerId ?? "",
      CNI_NETNS: parameters?.netnsPath ?? "",
      CNI_IFNAME: parameters?.ifName ?? "",
      CNI_ARGS: (parameters?.args ?? []).map((pair) => pair.join("=")).join(";"),
      CNI_PATH: this.directories.join(":"),
    };
    return Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  }
}

function parseResult(what: string, stdout: string): unknown {
  try {
    return JSON.parse(stdout);
  } catch (error) {
    throw new GantryError("unavailable", `${what}: its result is not JSON: ${errorMessage(error)}`);
  }
}
