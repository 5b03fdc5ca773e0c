/**
 * Stopping a running container: the stop signal at once, SIGKILL when the grace period is over.
 *
 * There is one stop at a time for a container; who asks again joins it and can only shorten what is left. A grace
 * period of 0 kills at once. Giving up a call does not take the signal back.
 */
import { constants } from "node:os";
import { abortable, LONGEST_TIMER_MS } from "../base/abort.ts";
import { errorKind, errorMessage } from "../base/errors.ts";
import { failpoint } from "../base/failpoint.ts";
import { realTimeNs } from "../native/clock.ts";
import { abandonContainer } from "./container-exit.ts";
import type { ContainerEntry } from "./container-table.ts";
import type { EngineContext } from "./engine-context.ts";
import { whileAtRest } from "./hooked-subject.ts";
import { findExternalHandler } from "./runtime-handler.ts";
import { signalNumber } from "./signal.ts";

/** A killed container whose exit is not told within this time has a shim to be looked after. */
const STUCK_AFTER_MS = 3_000;

export class ContainerStop {
  readonly #context: EngineContext;
  readonly #entry: ContainerEntry;
  #deadlineMs = Infinity;
  #timer: NodeJS.Timeout | undefined;
  #killedAtNs: bigint | undefined;

  constructor(context: EngineContext, entry: ContainerEntry) {
    this.#context = context;
    this.#entry = entry;
  }

  /** Sends the stop signal the first time; kills after the timeout, or earlier when it was shorter before. */
  limit(timeoutMs: number): void {
    if (this.#killedAtNs !== undefined) return;
    const first = this.#deadlineMs === Infinity;
    const deadlineMs = performance.now() + timeoutMs;
    if (deadlineMs >= this.#deadlineMs) return;
    this.#deadlineMs = deadlineMs;
    clearTimeout(this.#timer);
    if (timeoutMs <= 0) {
      this.kill();
      return;
    }
    if (first) this.#send(signalNumber(this.#entry.container.stopSignal));
    this.#timer = setTimeout(() => this.kill(), Math.min(timeoutMs, LONGEST_TIMER_MS));
    failpoint("container-stop:signal");
  }

  /** SIGKILL to init and to all that is in the container's cgroup. */
  kill(): void {
    if (this.#killedAtNs !== undefined) return;
    this.#killedAtNs = realTimeNs();
    this.#send(constants.signals.SIGKILL);
    this.#context.cgroups
      .load(this.#entry.cgroupPath)
      .kill()
      .catch((error: unknown) => this.#report("kill cgroup", error));
    // A shim that does not answer would not tell of the exit either.
    this.#timer = setTimeout(() => {
      this.#entry.shim?.endIfStuck().catch((error: unknown) => this.#report("end its shim", error));
    }, STUCK_AFTER_MS);
  }

  /** When it sent SIGKILL, in nanoseconds since the epoch; undefined before. */
  get killedAtNs(): bigint | undefined {
    return this.#killedAtNs;
  }

  /** The container has exited. */
  done(): void {
    clearTimeout(this.#timer);
  }

  #send(signal: number): void {
    this.#kill(signal).catch((error: unknown) => {
      if (errorKind(error) === "not-found") return;
      this.#report(`send signal ${signal}`, error);
    });
  }

  async #kill(signal: number): Promise<void> {
    const { container, shim } = this.#entry;
    const external = findExternalHandler(this.#context, container)?.external;
    if (external?.options.kill) await external.kill(container.id, signal);
    else await shim?.kill(signal);
  }

  #report(what: string, error: unknown): void {
    this.#context.log.warn(
      { containerId: this.#entry.container.id, err: errorMessage(error) },
      `stop container: ${what} failed`,
    );
  }
}

/** Stops one container and waits for its exit to be recorded and told. Nothing to do unless it runs. */
export async function stopContainerEntry(
  context: EngineContext,
  entry: ContainerEntry,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  // A start under way is waited for, so that no container escapes a stop.
  await whileAtRest(context, entry, signal, () => Promise.resolve());
  if (entry.container.state === "unknown") await abandonContainer(context, entry);
  if (entry.container.state === "running" && entry.exited) {
    entry.stop ??= new ContainerStop(context, entry);
    entry.stop.limit(timeoutMs);
    await abortable(entry.exited, signal);
  }
  if (entry.stopTold) await abortable(entry.stopTold, signal);
}
