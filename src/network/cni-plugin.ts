/**
 * Running one CNI plugin once (specification 1.1, section 2): found by name in the plugin directories, executed without
 * a shell, parameters in the environment, configuration on standard input, the result on standard output.
 *
 * Each runs in a session of its own, so that one that hangs is killed with what it has started. Its streams are pipes,
 * since plugins that are scripts open /dev/stdin and /dev/stderr. What it prints is bounded.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync } from "node:fs";
import { stat } from "node:fs/promises";
import { Socket } from "node:net";
import { join } from "node:path";
import { abortable, delay } from "../base/abort.ts";
import { errnoCode, errorKind, errorMessage, GantryError, wrapError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import { consoleAddon } from "../native/console.ts";
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
/** A plugin may leave a process behind that holds its output open. */
const AFTER_EXIT_MS = 2_000;
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
        const { stdout, stderr, end } = await execute(program, environment, JSON.stringify(input), either);
        const durationMs = Math.round((performance.now() - startedAt) * 10) / 10;
        this.#log.debug(
          {
            plugin: type,
            command,
            containerId: parameters?.containerId,
            durationMs,
            end,
            ...(stderr && { stderr }),
          },
          "ran CNI plugin",
        );
        if (end !== "") throw pluginError(what, { stdout, stderr, end });
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
  #environment(command: CniCommand, parameters: CniParameters | undefined): NodeJS.ProcessEnv {
    const own = Object.entries(process.env).filter(
      ([name]) => !/^(CNI|GANTRY|NODE|NOTIFY|LISTEN)_/.test(name),
    );
    return {
      PATH: DEFAULT_PATH,
      ...Object.fromEntries(own),
      CNI_COMMAND: command,
      CNI_CONTAINERID: parameters?.containerId ?? "",
      CNI_NETNS: parameters?.netnsPath ?? "",
      CNI_IFNAME: parameters?.ifName ?? "",
      CNI_ARGS: (parameters?.args ?? []).map((pair) => pair.join("=")).join(";"),
      CNI_PATH: this.directories.join(":"),
    };
  }
}

interface Execution {
  stdout: string;
  stderr: string;
  /** Empty for exit code 0. */
  end: string;
}

async function execute(
  program: string,
  env: NodeJS.ProcessEnv,
  input: string,
  signal: AbortSignal,
): Promise<Execution> {
  signal.throwIfAborted();
  const [inRead, inWrite] = consoleAddon.makePipe();
  const [outRead, outWrite] = consoleAddon.makePipe();
  const [errRead, errWrite] = consoleAddon.makePipe();
  let child: ChildProcess;
  try {
    child = spawn(program, [], { env, cwd: "/", detached: true, stdio: [inRead, outWrite, errWrite] });
  } catch (error) {
    for (const fd of [inWrite, outRead, errRead]) closeSync(fd);
    throw error;
  } finally {
    for (const fd of [inRead, outWrite, errWrite]) closeSync(fd);
  }
  const kill = (): void => killSession(child);
  signal.addEventListener("abort", kill, { once: true });
  const stdin = new Socket({ fd: inWrite, readable: false, writable: true });
  stdin.on("error", () => undefined).end(input);
  const stdout = new BoundedOutput(outRead, STDOUT_LIMIT_BYTES, kill);
  const stderr = new BoundedOutput(errRead, STDERR_LIMIT_BYTES);
  try {
    const [code, by] = await exitOf(child, signal);
    const late = AbortSignal.any([signal, AbortSignal.timeout(AFTER_EXIT_MS)]);
    await abortable(Promise.all([stdout.ended, stderr.ended]), late).catch(() => undefined);
    signal.throwIfAborted();
    if (stdout.exceeded)
      throw new GantryError("resource-exhausted", `${program} printed more than ${STDOUT_LIMIT_BYTES} bytes`);
    const end = by ?? (code === 0 ? "" : `exit code ${code}`);
    return { stdout: stdout.text(), stderr: stderr.text(), end };
  } finally {
    signal.removeEventListener("abort", kill);
    for (const stream of [stdin, stdout.socket, stderr.socket]) stream.destroy();
  }
}

/** Once killed, a process may be stuck in the kernel: then it is not waited for without end. */
async function exitOf(
  child: ChildProcess,
  signal: AbortSignal,
): Promise<[number | null, NodeJS.Signals | null]> {
  const exit = once(child, "exit") as Promise<[number | null, NodeJS.Signals | null]>;
  child.on("error", () => undefined);
  try {
    return await abortable(exit, signal);
  } catch (error) {
    if (signal.aborted) await abortable(exit, AbortSignal.timeout(AFTER_EXIT_MS)).catch(() => undefined);
    throw error;
  }
}

/** Whoever is in it: what a plugin starts for its work ends with it. */
function killSession(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    child.kill("SIGKILL");
  }
}

/** Keeps the beginning of what comes from a pipe, and reads the rest away. */
class BoundedOutput {
  readonly socket: Socket;
  readonly ended: Promise<void>;
  exceeded = false;
  readonly #chunks: Buffer[] = [];
  #size = 0;

  constructor(fd: number, limitBytes: number, onExceeded: () => void = () => undefined) {
    this.socket = new Socket({ fd, readable: true, writable: false });
    this.ended = new Promise((resolve) => this.socket.once("close", () => resolve()));
    this.socket.on("error", () => undefined);
    this.socket.on("data", (chunk: Buffer) => {
      const room = limitBytes - this.#size;
      if (room > 0) this.#chunks.push(chunk.subarray(0, room));
      this.#size += chunk.length;
      if (this.#size <= limitBytes || this.exceeded) return;
      this.exceeded = true;
      onExceeded();
    });
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString("utf8");
  }
}

function parseResult(what: string, stdout: string): unknown {
  try {
    return JSON.parse(stdout);
  } catch (error) {
    throw new GantryError("unavailable", `${what}: its result is not JSON: ${errorMessage(error)}`);
  }
}
