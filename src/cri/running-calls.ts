/**
 * The calls that run now, each with the signal that tells its handler to give up.
 *
 * grpc-js emits "cancelled" once a call is over for any reason, its normal end included, so only what comes before
 * `end` aborts. It does not where the deadline passes before the handler is called, so deadlines are also kept here.
 * A passed deadline and a client that went away give different reasons.
 */
import type { ServerUnaryCall, ServerWritableStream } from "@grpc/grpc-js";
import { LONGEST_TIMER_MS } from "../base/abort.ts";
import { GantryError } from "../base/errors.ts";

/** A client that gives up at its deadline may be heard before our own clock has reached it. */
const DEADLINE_SLACK_MS = 50;

export type ServerCall = Pick<
  ServerUnaryCall<object, object> | ServerWritableStream<object, object>,
  "cancelled" | "getDeadline" | "on"
>;

export interface RunningCall {
  readonly signal: AbortSignal;
  /** Milliseconds since the call began. */
  elapsedMs(): number;
  /** The handler is done: later events of the call mean nothing. */
  end(): void;
}

export class RunningCalls {
  readonly #running = new Set<AbortController>();
  readonly #endless = new Set<AbortController>();
  #stopReason: GantryError | undefined;
  #whenIdle: (() => void)[] = [];

  /** @param endless it would never end by itself. */
  begin(call: ServerCall, { endless = false } = {}): RunningCall {
    const controller = new AbortController();
    const startedMs = performance.now();
    this.#running.add(controller);
    if (endless) this.#endless.add(controller);
    if (this.#stopReason) controller.abort(this.#stopReason);
    const onCancelled = (): void => {
      if (this.#running.has(controller)) controller.abort(cancelReason(call.getDeadline()));
    };
    if (call.cancelled) onCancelled();
    else call.on("cancelled", onCancelled);
    const leftMs = Number(call.getDeadline()) - Date.now();
    const timer =
      leftMs < LONGEST_TIMER_MS ? setTimeout(onCancelled, Math.max(0, leftMs)).unref() : undefined;
    return {
      signal: controller.signal,
      elapsedMs: () => performance.now() - startedMs,
      end: () => {
        clearTimeout(timer);
        this.#running.delete(controller);
        this.#endless.delete(controller);
        if (this.#running.size === 0) for (const resolve of this.#whenIdle.splice(0)) resolve();
      },
    };
  }

  /** Calls that begin from now on are aborted at once, and those that have no end; the others go on. */
  refuse(reason: GantryError): void {
    this.#stopReason = reason;
    for (const controller of this.#endless) controller.abort(reason);
  }

  abortAll(reason: GantryError): void {
    for (const controller of this.#running) controller.abort(reason);
  }

  /** Resolves once nothing runs. */
  async idle(): Promise<void> {
    if (this.#running.size > 0) await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
  }
}

function cancelReason(deadline: Date | number): GantryError {
  if (Date.now() + DEADLINE_SLACK_MS >= Number(deadline))
    return new GantryError("deadline-exceeded", "the client's deadline has passed");
  return new GantryError("cancelled", "the client gave up the call");
}
