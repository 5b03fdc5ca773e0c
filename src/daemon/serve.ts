/**
 * The life of the daemon: claim the directories and the socket, put the parts together, recover, serve, stop.
 *
 *   start ──lock, assemble, recover──▶ ready ──SIGTERM, SIGINT──▶ stopping ──▶ exit 0
 *     │                                  │                            └─ second signal ──▶ exit 1
 *     └── failure ──▶ exit 1             └── uncaught error, SIGKILL ──▶ gone; the containers run on
 *
 * A stop finishes the calls that run, within a bound, and touches no container.
 */
import { mkdirSync } from "node:fs";
import { enableCompileCache, flushCompileCache } from "node:module";
import { dirname, join } from "node:path";
import { errorMessage } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import { endProcess } from "../native/notify.ts";
import type { LoadedConfig } from "./config.ts";
import { lockDirectory } from "./instance-lock.ts";
import { createLogger } from "./logging.ts";
import { ServiceManager } from "./service-manager.ts";
import { VERSION } from "./version.ts";

/** Calls that run when a stop begins get this long. */
const DRAIN_MS = 10_000;

/** Resolves when the daemon has been stopped. @throws GantryError where it cannot start. */
export async function serve({ config, files }: LoadedConfig): Promise<void> {
  const log = await createLogger(config.log);
  const manager = new ServiceManager(process.env, log);
  exitOnBug(log);
  const stopAsked = onStopSignal(log);

  for (const directory of [config.root, config.state]) mkdirSync(directory, { recursive: true, mode: 0o700 });
  // Not released by hand: the kernel does it when the process ends, whichever way.
  lockDirectory(config.root);
  lockDirectory(config.state);
  const socketPath = config.listen.slice("unix://".length);
  mkdirSync(dirname(socketPath), { recursive: true, mode: 0o755 });

  enableCompileCache(join(config.root, "compile-cache"));
  const { assemble } = await import("./assembly.ts");
  const daemon = await assemble(config, log);
  try {
    await daemon.listen(socketPath);
  } catch (error) {
    await daemon.close(0);
    throw error;
  }
  log.info(
    { version: VERSION, listen: config.listen, root: config.root, state: config.state, files },
    "ready",
  );
  manager.ready();
  flushCompileCache();

  await stopAsked;
  manager.stopping();
  await daemon.close(DRAIN_MS);
  flushCompileCache();
  // The log has been written: it is synchronous.
  log.info({}, "stopped");
  endProcess(0);
}

/** Resolves at the first SIGTERM or SIGINT; the second ends the process at once. */
function onStopSignal(log: Logger): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let asked = false;
  const stop = (signal: NodeJS.Signals): void => {
    if (asked) endProcess(1);
    asked = true;
    log.info({ signal }, "stopping");
    resolve();
  };
  process.on("SIGTERM", stop).on("SIGINT", stop);
  return promise;
}

/** What nobody caught is a bug, and what was in memory is no longer to be trusted; a restart finds everything. */
function exitOnBug(log: Logger): void {
  process.on("uncaughtException", (error) => {
    log.error({ err: error }, `uncaught: ${errorMessage(error)}`);
    endProcess(1);
  });
}
