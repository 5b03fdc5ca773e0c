/**
 * Tells the service manager how the daemon is (sd_notify(3), Type=notify). Without NOTIFY_SOCKET it says nothing.
 */
import { errorMessage } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import { sendNotify } from "../native/notify.ts";

export class ServiceManager {
  readonly #socket: string | undefined;
  readonly #log: Logger;

  /** Takes NOTIFY_SOCKET out of the environment, so that no process started later speaks in our name. */
  constructor(environment: NodeJS.ProcessEnv, log: Logger) {
    this.#socket = environment["NOTIFY_SOCKET"];
    delete environment["NOTIFY_SOCKET"];
    this.#log = log;
  }

  /** The daemon answers calls. */
  ready(): void {
    this.#send(`READY=1\nMAINPID=${process.pid}`);
  }

  /** The daemon has begun to stop. */
  stopping(): void {
    this.#send("STOPPING=1");
  }

  #send(state: string): void {
    if (!this.#socket) return;
    try {
      sendNotify(this.#socket, state);
    } catch (error) {
      this.#log.warn(
        { socket: this.#socket, reason: errorMessage(error) },
        "cannot notify the service manager",
      );
    }
  }
}
