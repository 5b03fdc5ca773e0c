/** Starts shims, finds them again, and clears away what belongs to nobody. See shim.ts for the contract. */
import { constants, existsSync, mkdirSync, openSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { errnoCode, GantryError, wrapError } from "../base/errors.ts";
import { failpoint } from "../base/failpoint.ts";
import type { Logger } from "../base/logger.ts";
import { realTimeNs } from "../native/clock.ts";
import { processAddon } from "../native/process.ts";
import { ShimConnection } from "./connection.ts";
import type { FieldReader } from "./frame.ts";
import { MESSAGE, OPTION } from "./protocol.ts";
import { launchTimeNs, readPidRecord, writePidRecord } from "./record.ts";
import type { PidRecord } from "./record.ts";
import { connectShim, explainPlan, ShimClient } from "./shim-client.ts";
import type { ExplainPlanFailure, ShimClientOptions } from "./shim-client.ts";
import { planOf } from "./shim.ts";
import type { Shim, ShimManager, ShimStart } from "./shim.ts";

/** sizeof(sun_path) without its NUL, unix(7). */
const MAX_SOCKET_PATH_BYTES = 107;
const ID = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;
/** A shim that does not answer a new daemon within this time counts as gone for now. */
const STATUS_TIMEOUT_MS = 2_000;
/** How long a shim that is about to launch its container is waited for, and how often it is looked for. */
const LAUNCH_TIMEOUT_MS = 5_000;
const LAUNCH_POLL_MS = 20;
/** A shim that is being killed takes connections until the kernel is done with it. */
const DYING_TIMEOUT_MS = 2_000;
const DYING_POLL_MS = 10;

interface Reached {
  connection: ShimConnection;
  pids: PidRecord;
}

export interface ShimManagerOptions {
  /** The daemon's state directory; shims live in `shims` below it. */
  stateDirectory: string;
  /** Absolute path of gantry-shim. */
  program: string;
  log: Logger;
  /**
   * Fingerprint of the plans that callers compile (PLAN_FINGERPRINT). A shim of another build then has `program`
   * launch what is executed in its container. Without it every shim is taken to be of this build.
   */
  planBuild?: number;
  /** Makes the error for a failing plan operation. Without it the facts are given as they are. */
  explain?: ExplainPlanFailure;
}

function optionBits(options: ShimStart): number {
  return (
    (options.terminal ? OPTION.TERMINAL : 0) |
    (options.stdin ? OPTION.STDIN : 0) |
    (options.stdinOnce ? OPTION.STDIN_ONCE : 0) |
    (options.startNow ? OPTION.START_NOW : 0)
  );
}

type KnownShim = Pick<ShimClientOptions, "pids" | "launchedAtNs" | "connection"> &
  Partial<Pick<ShimClientOptions, "plan">>;

/** As LAUNCH and STATUS answer. */
function pidsOfReply(reply: FieldReader): PidRecord {
  return {
    shimPid: reply.u32("SHIM_PID") ?? 0,
    shimStartTime: Number(reply.u64("SHIM_START_TIME") ?? 0n),
    initPid: reply.u32("PID") ?? 0,
    initStartTime: Number(reply.u64("START_TIME") ?? 0n),
  };
}

class Manager implements ShimManager {
  readonly #options: ShimManagerOptions;
  readonly #directory: string;
  #descriptor: number | undefined;

  constructor(options: ShimManagerOptions) {
    this.#options = options;
    this.#directory = join(options.stateDirectory, "shims");
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
  }

  async start(options: ShimStart, signal: AbortSignal): Promise<Shim> {
    const directory = this.#path(options.id);
    signal.throwIfAborted();
    try {
      mkdirSync(directory, { mode: 0o700 });
    } catch (error) {
      const kind = errnoCode(error) === "EEXIST" ? "already-exists" : "internal";
      throw wrapError(`container "${options.id}"`, error, kind);
    }
    failpoint("shim-start:directory");
    let plan: Uint8Array | undefined;
    const compile = async (): Promise<Uint8Array> => (plan = await planOf(options));
    try {
      return await this.#launch(options, compile, directory, signal);
    } catch (error) {
      // A shim that is dying may still put something there.
      await rm(directory, { recursive: true, force: true, maxRetries: 3 });
      throw explainPlan(`container "${options.id}"`, error, plan, this.#options.explain);
    }
  }

  async #launch(
    options: ShimStart,
    compile: () => Promise<Uint8Array>,
    directory: string,
    signal: AbortSignal,
  ): Promise<Shim> {
    const { program } = this.#options;
    const { unifiedDirectory = "", tasksFiles } = options.shimCgroup;
    const spawned = processAddon.spawnShim(program, ["run", options.id], unifiedDirectory, tasksFiles);
    failpoint("shim-start:spawn");
    const startTime = processAddon.processStartTime(spawned.pid);
    const connection = ShimConnection.fromDescriptor(spawned.fd);
    const kill = (): void => {
      processAddon.killProcess(spawned.pid, startTime, 9);
    };
    /* The container dies with its shim. */
    signal.addEventListener("abort", kill, { once: true });
    try {
      const shimPids = { shimPid: spawned.pid, shimStartTime: startTime, initPid: 0, initStartTime: 0 };
      writePidRecord(directory, shimPids);
      const plan = await compile();
      const request = {
        DIRECTORY: directory,
        OPTIONS: optionBits(options),
        LOG_PATH: options.log?.path,
        MEMORY_CGROUP: options.memoryCgroupDirectory,
        PLAN: plan,
      };
      /* Hooks may take their time: the caller's signal is the limit. */
      const reply = await connection.request(MESSAGE.LAUNCH, request, 0);
      failpoint("shim-start:launch");
      /* It may have been killed already. */
      signal.throwIfAborted();
      return this.#client(options.id, {
        pids: pidsOfReply(reply),
        launchedAtNs: realTimeNs(),
        connection,
        plan: options.startNow ? undefined : plan,
      });
    } catch (error) {
      connection.close();
      kill();
      signal.throwIfAborted();
      throw error;
    } finally {
      signal.removeEventListener("abort", kill);
    }
  }

  async connect(id: string): Promise<Shim | undefined> {
    const directory = this.#path(id);
    if (!existsSync(directory)) return undefined;
    const reached = await this.#reachLaunched(id);
    const recorded = reached?.pids ?? (await readPidRecord(directory));
    const launchedAtNs = await launchTimeNs(directory);
    /* Without one no launch was asked for; with no init none came about, or the shim died in it. */
    if (!recorded || recorded.initPid === 0) {
      await this.discard(id);
      return undefined;
    }
    return this.#client(id, { pids: recorded, launchedAtNs, connection: reached?.connection });
  }

  /** As #reach, but waits for a shim that has yet to launch its container: only then it listens. */
  async #reachLaunched(id: string): Promise<Reached | undefined> {
    const directory = this.#path(id);
    for (const end = performance.now() + LAUNCH_TIMEOUT_MS; ; await sleep(LAUNCH_POLL_MS)) {
      const before = await readPidRecord(directory);
      const reached = await this.#reach(id);
      if (reached || !before || before.initPid !== 0 || performance.now() > end) return reached;
      if (processAddon.processStartTime(before.shimPid) !== before.shimStartTime) return undefined;
    }
  }

  /** A connection that has been answered on; undefined where there is no shim. @throws unavailable if it is stuck. */
  async #reach(id: string): Promise<Reached | undefined> {
    for (const end = performance.now() + DYING_TIMEOUT_MS; ; await sleep(DYING_POLL_MS)) {
      const reached = await this.#ask(id, performance.now() > end);
      if (reached !== "hung up") return reached;
    }
  }

  /** As #reach; "hung up" from one that closes without an answer, unless it is the last time. */
  async #ask(id: string, last: boolean): Promise<Reached | "hung up" | undefined> {
    let connection: ShimConnection;
    try {
      connection = await connectShim(this.#socketPath(id));
    } catch (error) {
      const code = errnoCode(error);
      if (code === "ENOENT" || code === "ECONNREFUSED") return undefined;
      throw wrapError(`container "${id}": connect to its shim`, error, "unavailable");
    }
    try {
      const pids = pidsOfReply(await connection.request(MESSAGE.STATUS, {}, STATUS_TIMEOUT_MS));
      return { connection, pids };
    } catch (error) {
      const hungUp = connection.isClosed;
      connection.close();
      if (hungUp && !last) return "hung up";
      throw wrapError(`container "${id}": its shim`, error, "unavailable");
    }
  }

  async list(): Promise<string[]> {
    const entries = await readdir(this.#directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory() && ID.test(entry.name)).map((entry) => entry.name);
  }

  async discard(id: string): Promise<void> {
    const directory = this.#path(id);
    if (!existsSync(directory)) return;
    const reached = await this.#reach(id).catch(() => undefined);
    const pids = reached?.pids ?? (await readPidRecord(directory).catch(() => undefined));
    if (pids) {
      const client = this.#client(id, { pids, launchedAtNs: 0n, connection: reached?.connection });
      await client.discard();
      if (!reached) processAddon.killProcess(pids.shimPid, pids.shimStartTime, 9);
    }
    await rm(directory, { recursive: true, force: true, maxRetries: 3 });
  }

  #client(id: string, known: KnownShim): ShimClient {
    const { log, explain, program, planBuild } = this.#options;
    const directory = this.#path(id);
    return new ShimClient({
      id,
      directory,
      socketPath: this.#socketPath(id),
      log,
      explain,
      program,
      planBuild,
      plan: undefined,
      ...known,
    });
  }

  /** @throws GantryError invalid-argument for an id that is not one safe file name. */
  #path(id: string): string {
    if (!ID.test(id))
      throw new GantryError("invalid-argument", `shim id ${JSON.stringify(id)} is not well-formed`);
    return join(this.#directory, id);
  }

  /** The socket's path, by way of a descriptor of the directory where it would be too long for an address. */
  #socketPath(id: string): string {
    const path = join(this.#directory, id, "sock");
    if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return path;
    this.#descriptor ??= openSync(this.#directory, constants.O_RDONLY | constants.O_DIRECTORY);
    return `/proc/self/fd/${this.#descriptor}/${id}/sock`;
  }
}

export function createShimManager(options: ShimManagerOptions): ShimManager {
  return new Manager(options);
}
