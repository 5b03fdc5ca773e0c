/**
 * Plugins that the daemon starts: the executables NN-NAME of a directory. Each gets one end of a socket pair as descriptor
 * 3, and its configuration from NN-NAME.conf or NAME.conf.
 *
 * They end with their connection: who was dropped, or whose daemon stops, is killed. One that outlives a daemon that
 * was killed finds its socket closed, and is ended by the next daemon at the latest (launch-records.ts).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Duplex, Readable } from "node:stream";
import { errnoCode, errorMessage, wrapError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import type { LaunchRecords } from "./launch-records.ts";
import { parsePluginName } from "./plugin-name.ts";

/** Of a line that a plugin prints. */
const MAX_LINE = 2048;

export interface PluginFile {
  path: string;
  index: string;
  base: string;
  /** Empty: none. */
  config: string;
}

/** The plugins of a directory that need not exist, in their order. What cannot be one is told and left out. */
export async function findPlugins(
  directory: string,
  configDirectory: string,
  log: Logger,
): Promise<PluginFile[]> {
  const found: PluginFile[] = [];
  for (const name of (await namesIn(directory)).toSorted()) {
    const path = join(directory, name);
    try {
      const stats = await stat(path);
      if (!stats.isFile() || (stats.mode & 0o111) === 0) continue;
      const identity = parsePluginName(name);
      found.push({ path, ...identity, config: await pluginConfig(configDirectory, name, identity.base) });
    } catch (error) {
      log.warn({ path, err: errorMessage(error) }, "plugin left out");
    }
  }
  return found;
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (errnoCode(error) === "ENOENT") return [];
    throw wrapError(`plugin directory "${directory}"`, error);
  }
}

async function pluginConfig(directory: string, name: string, base: string): Promise<string> {
  for (const file of [`${name}.conf`, `${base}.conf`]) {
    try {
      return await readFile(join(directory, file), "utf8");
    } catch (error) {
      if (errnoCode(error) !== "ENOENT") throw error;
    }
  }
  return "";
}

export interface LaunchedPlugin {
  socket: Duplex;
  pid: number;
  /** Ends it and what it started. Idempotent. */
  kill(): void;
  /** Resolves when the process is no more. */
  ended: Promise<void>;
}

/** @throws where it cannot be executed. */
export async function launchPlugin(
  file: PluginFile,
  records: LaunchRecords,
  log: Logger,
): Promise<LaunchedPlugin> {
  const name = `${file.index}-${file.base}`;
  const child = spawn(file.path, [], {
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    // A group of its own: a script's children go with it, and a terminal's Ctrl-C is for the daemon.
    detached: true,
    env: { NRI_PLUGIN_NAME: file.base, NRI_PLUGIN_IDX: file.index, NRI_PLUGIN_SOCKET: "3" },
  });
  try {
    if (child.pid !== undefined) records.add(name, child.pid);
  } catch (error) {
    killGroup(child);
    throw wrapError(`plugin "${file.path}": record`, error);
  }
  const ended = Promise.withResolvers<void>();
  child.once("exit", (code, signal) => {
    log.info({ code, signal }, "plugin process ended");
    records.delete(name);
    ended.resolve();
  });
  await new Promise<void>((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", (error) => reject(wrapError(`plugin "${file.path}"`, error, "failed-precondition")));
  });
  child.on("error", (error) => log.warn({ err: errorMessage(error) }, "plugin process"));
  for (const stream of [child.stdout, child.stderr]) if (stream) logLines(stream, log);
  return {
    socket: child.stdio[3] as Duplex,
    pid: child.pid ?? -1,
    kill: () => killGroup(child),
    ended: ended.promise,
  };
}

function killGroup(child: ChildProcess): void {
  // Once it has been reaped its pid may be another's.
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch (error) {
    if (errnoCode(error) !== "ESRCH") throw error;
  }
}

function logLines(stream: Readable, log: Logger): void {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = (lines.pop() ?? "").slice(0, MAX_LINE);
    for (const line of lines) if (line !== "") log.debug({ line: line.slice(0, MAX_LINE) }, "plugin printed");
  });
  stream.on("error", () => undefined);
}
