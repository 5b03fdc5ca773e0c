/**
 * One shim as the daemon sees it: the control connection while there is one, the directory when there is none.
 *
 * When the connection ends unexpectedly the exit record decides; without one, a shim that still runs is connected
 * to again, and a dead one is given up: its init is killed (by pid and start time), and `wait` says shimLost.
 */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { abortable } from "../base/abort.ts";
import { GantryError, wrapError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import { realTimeNs } from "../native/clock.ts";
import { processAddon } from "../native/process.ts";
import { ShimConnection } from "./connection.ts";
import { explainRequest, ShimRequestError } from "./failure.ts";
import type { PlanFailure } from "./failure.ts";
import type { FieldReader, Fields } from "./frame.ts";
import { MESSAGE, OPTION } from "./protocol.ts";
import { ProcessStream } from "./process-stream.ts";
import type { StreamRequest } from "./process-stream.ts";
import { readExitRecord } from "./record.ts";
import type { PidRecord } from "./record.ts";
import type { ExitRecord, ProcessSession, Shim, ShimExec, ShimExecOptions } from "./shim.ts";

const SIGKILL = 9;
const RECONNECT_DELAY_MS = 100;
const STUCK_TIMEOUT_MS = 2_000;

export type ExplainPlanFailure = (plan: Uint8Array, failure: PlanFailure) => Error;

export interface ShimClientOptions {
  id: string;
  directory: string;
  /** Path of the shim's socket, short enough for sun_path. */
  socketPath: string;
  pids: PidRecord;
  launchedAtNs: bigint;
  connection: ShimConnection | undefined;
  log: Logger;
  explain: ExplainPlanFailure | undefined;
  /** Absolute path of this build's gantry-shim, and the plans it understands (ShimManagerOptions.planBuild). */
  program: string;
  planBuild: number | undefined;
  /** Of a container that has yet to be started, to explain a failure of its last operations. */
  plan: Uint8Array | undefined;
}

/** Connects to a shim's socket. @throws the errno error of connect(2). */
export async function connectShim(socketPath: string): Promise<ShimConnection> {
  const socket = connect({ path: socketPath });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.once("connect", resolve);
  socket.once("error", reject);
  await promise;
  return new ShimConnection(socket);
}

function exitOfReply(fields: FieldReader): ExitRecord {
  return {
    exitCode: fields.u32("EXIT_CODE") ?? 255,
    signal: fields.u32("EXIT_SIGNAL") ?? 0,
    exitedAtNs: fields.u64("EXITED_AT") ?? 0n,
    oomKilled: fields.u32("OOM_KILLED") === 1,
    shimLost: false,
  };
}

/** As explainRequest, with the operations of a plan explained by who knows them. */
export function explainPlan(
  context: string,
  error: unknown,
  plan: Uint8Array | undefined,
  explain: ExplainPlanFailure | undefined,
): unknown {
  if (!(error instanceof ShimRequestError) || error.failure.operation === undefined || !plan || !explain)
    return explainRequest(context, error);
  return explain(plan, { ...error.failure, operation: error.failure.operation });
}

export class ShimClient implements Shim {
  readonly id: string;
  readonly shimPid: number;
  readonly initPid: number;
  readonly launchedAtNs: bigint;
  readonly #options: ShimClientOptions;
  readonly #exit: Promise<ExitRecord>;
  #connection: ShimConnection | undefined;
  #plan: Uint8Array | undefined;
  #disconnected = false;

  constructor(options: ShimClientOptions) {
    this.id = options.id;
    this.shimPid = options.pids.shimPid;
    this.initPid = options.pids.initPid;
    this.launchedAtNs = options.launchedAtNs;
    this.#options = options;
    this.#connection = options.connection;
    this.#plan = options.plan;
    this.#exit = this.#watch();
    this.#exit.catch(() => undefined);
  }

  async start(signal: AbortSignal): Promise<void> {
    const plan = this.#plan;
    try {
      /* Hooks may take their time: the caller's signal is the limit. */
      await abortable(this.#request(MESSAGE.START, {}, 0), signal);
    } catch (error) {
      throw explainPlan(this.#name, error, plan, this.#options.explain);
    }
    this.#plan = undefined;
  }

  /* Not by way of the shim, which may be stuck on its log's disk. */
  kill(signal: number): Promise<void> {
    const { initPid, initStartTime } = this.#options.pids;
    try {
      if (processAddon.killProcess(initPid, initStartTime, signal)) return Promise.resolve();
    } catch (error) {
      return Promise.reject(wrapError(this.#name, error));
    }
    return Promise.reject(new GantryError("not-found", `${this.#name}: its first process has ended`));
  }

  async endIfStuck(): Promise<void> {
    try {
      await this.#request(MESSAGE.STATUS, {}, STUCK_TIMEOUT_MS);
    } catch (error) {
      const { shimPid, shimStartTime } = this.#options.pids;
      this.#options.log.warn({ containerId: this.id, shimPid, error }, "killing a shim that does not answer");
      processAddon.killProcess(shimPid, shimStartTime, SIGKILL);
    }
  }

  wait(): Promise<ExitRecord> {
    return this.#exit;
  }

  async exec(options: ShimExecOptions, signal: AbortSignal): Promise<ShimExec> {
    const bits =
      (options.terminal ? OPTION.TERMINAL : 0) |
      (options.stdin ? OPTION.STDIN : 0) |
      (options.killOnDisconnect ? OPTION.KILL_ON_DISCONNECT : 0);
    const fields = { OPTIONS: bits, PLAN: options.plan, PROGRAM: this.#foreignProgram() };
    const stderr = !options.terminal;
    let opened;
    try {
      opened = await this.#open({ type: MESSAGE.EXEC, fields, stdin: options.stdin, stderr }, signal);
    } catch (error) {
      throw explainPlan(this.#name, error, options.plan, this.#options.explain);
    }
    const pid = opened.fields.u32("PID") ?? 0;
    const { stream } = opened;
    return {
      ...this.#streams(stream, pid),
      pid,
      kill: async (number) => {
        await this.#explained(this.#request(MESSAGE.KILL, { PID: pid, SIGNAL: number }));
      },
    };
  }

  async attach(signal: AbortSignal): Promise<ProcessSession> {
    const request = { type: MESSAGE.ATTACH, fields: {}, stdin: true, stderr: true } as const;
    const { stream, fields } = await this.#explained(this.#open(request, signal));
    const options = fields.u32("OPTIONS") ?? 0;
    return {
      ...this.#streams(stream, undefined),
      stdin: options & OPTION.STDIN ? stream.stdin : undefined,
      stderr: options & OPTION.TERMINAL ? undefined : stream.stderr,
    };
  }

  async resize(width: number, height: number): Promise<void> {
    await this.#explained(this.#request(MESSAGE.RESIZE, { WIDTH: width, HEIGHT: height }));
  }

  async reopenLog(): Promise<void> {
    await this.#explained(this.#request(MESSAGE.REOPEN_LOG));
  }

  async delete(): Promise<void> {
    await this.#end(false);
  }

  /** As delete, but kills the container first if it lives. */
  async discard(): Promise<void> {
    await this.#end(true);
  }

  disconnect(): void {
    this.#disconnected = true;
    this.#connection?.close();
  }

  get #name(): string {
    return `container "${this.id}"`;
  }

  async #end(force: boolean): Promise<void> {
    try {
      if (this.#connection)
        await this.#request(MESSAGE.DELETE, { FORCE: force ? 1 : 0 }, force ? undefined : 0);
    } catch (error) {
      if (!(error instanceof GantryError && error.kind === "unavailable"))
        throw explainRequest(this.#name, error);
      /* It has died, or does not answer: then it has to. Idempotent, so gone already is well. */
      const { shimPid, shimStartTime } = this.#options.pids;
      if (force) processAddon.killProcess(shimPid, shimStartTime, SIGKILL);
      else if (processAddon.processStartTime(shimPid) === shimStartTime)
        throw explainRequest(this.#name, error);
    }
    if (force) this.#killInit();
    this.#connection?.close();
    this.#connection = undefined;
    // The shim takes it away itself; what one leaves that had to be killed is taken away here.
    if (existsSync(this.#options.directory))
      await rm(this.#options.directory, { recursive: true, force: true });
  }

  #killInit(): boolean {
    const { initPid, initStartTime } = this.#options.pids;
    return processAddon.killProcess(initPid, initStartTime, SIGKILL);
  }

  #request(type: number, fields: Fields = {}, timeoutMs?: number): Promise<FieldReader> {
    if (this.#connection) return this.#connection.request(type, fields, timeoutMs);
    return Promise.reject(new GantryError("unavailable", `${this.#name}: its shim is gone`));
  }

  #open(request: StreamRequest, signal: AbortSignal): ReturnType<typeof ProcessStream.open> {
    if (this.#connection) return ProcessStream.open(this.#options.socketPath, request, signal);
    return Promise.reject(new GantryError("unavailable", `${this.#name}: its shim is gone`));
  }

  /** Who has to launch our plans where the shim is of another build; undefined where it can itself. */
  #foreignProgram(): string | undefined {
    const { planBuild, program } = this.#options;
    const theirs = this.#connection?.planBuild;
    return planBuild === undefined || theirs === planBuild ? undefined : program;
  }

  async #explained<T>(result: Promise<T>): Promise<T> {
    try {
      return await result;
    } catch (error) {
      throw explainRequest(this.#name, error);
    }
  }

  #streams(stream: ProcessStream, pid: number | undefined): ProcessSession {
    return {
      stdin: stream.stdin,
      stdout: stream.stdout,
      stderr: stream.stderr,
      resize: async (width, height) => {
        await this.#explained(this.#request(MESSAGE.RESIZE, { PID: pid, WIDTH: width, HEIGHT: height }));
      },
      wait: () => stream.exit,
      close: () => stream.close(),
    };
  }

  async #watch(): Promise<ExitRecord> {
    for (;;) {
      if (this.#connection) {
        try {
          return exitOfReply(await this.#connection.request(MESSAGE.WAIT, {}, 0));
        } catch (error) {
          this.#connection = undefined;
          if (this.#disconnected)
            throw new GantryError("unavailable", `${this.#name}: disconnected`, { cause: error });
        }
      }
      const record = await readExitRecord(this.#options.directory);
      if (record) return record;
      const { shimPid, shimStartTime } = this.#options.pids;
      if (shimPid === 0 || processAddon.processStartTime(shimPid) !== shimStartTime) return this.#giveUp();
      await sleep(RECONNECT_DELAY_MS, undefined, { ref: false });
      this.#connection = await connectShim(this.#options.socketPath).catch(() => undefined);
    }
  }

  #giveUp(): ExitRecord {
    const killed = this.#killInit();
    this.#options.log.warn({ containerId: this.id, shimPid: this.shimPid, killed }, "shim lost");
    const exitedAtNs = realTimeNs();
    return { exitCode: 255, signal: 0, exitedAtNs, oomKilled: false, shimLost: true };
  }
}
