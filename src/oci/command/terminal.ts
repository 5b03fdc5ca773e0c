/**
 * The terminal of a process in the foreground: its master comes from the launcher, and is joined with the terminal
 * that this command has. Where nobody takes the output any more, the process's terminal hangs up, as one whose window is
 * closed: the process gets EIO, as it gets EPIPE of a pipe, and ends or goes on as it likes.
 */
import { closeSync, read, rmSync, write } from "node:fs";
import { join } from "node:path";
import { errnoCode } from "../../base/errors.ts";
import { consoleAddon } from "../../native/console.ts";

const RECEIVE_TIMEOUT_MS = 10_000;
const OUTPUT_BYTES = 64 * 1024;
/** A pipe or socket without a reader; a terminal that is gone. */
const NOBODY_READS = new Set(["EPIPE", "ECONNRESET", "EIO"]);
const ignore = (): void => undefined;

export class ForegroundTerminal {
  readonly socketPath: string;
  readonly #listener: number;
  #master = -1;
  #drained: Promise<void> = Promise.resolve();
  /** Why the output ended before the process did. */
  #failure: Error | undefined;
  #closed = false;
  readonly #onResize = (): void => this.#resize();
  readonly #onInput = (chunk: Buffer): void => {
    if (this.#master >= 0) write(this.#master, chunk, () => undefined);
  };

  /** @param directory private, with a path short enough for a socket in it. */
  constructor(directory: string) {
    this.socketPath = join(directory, `console-${process.pid}`);
    this.#listener = consoleAddon.consoleListen(this.socketPath);
  }

  /** Takes the master that the launcher has sent, and starts copying. */
  connect(): void {
    this.#master = consoleAddon.consoleReceive(this.#listener, RECEIVE_TIMEOUT_MS);
    this.#resize();
    process.on("SIGWINCH", this.#onResize);
    // A stream that fails without a listener ends this command and leaves the container.
    process.stdin.on("error", ignore);
    process.stdout.on("error", ignore);
    if (process.stdin.isTTY) process.stdin.setRawMode(true);
    process.stdin.on("data", this.#onInput);
    this.#drained = this.#copyOutput();
  }

  /** Until the last slave has been closed. Each piece has been taken before the next is read: the end loses none. */
  async #copyOutput(): Promise<void> {
    const buffer = Buffer.alloc(OUTPUT_BYTES);
    for (;;) {
      // Reading a master whose last slave has been closed fails with EIO: that is its end.
      const count = await new Promise<number>((resolve) =>
        read(this.#master, buffer, 0, OUTPUT_BYTES, null, (error, bytes) => resolve(error ? 0 : bytes)),
      );
      if (count === 0) return;
      const error = await new Promise<Error | null | undefined>((resolve) =>
        process.stdout.write(buffer.subarray(0, count), resolve),
      );
      if (!error) continue;
      this.#failure = error;
      this.#disconnect();
      return;
    }
  }

  /** Gives this command's terminal back, and hangs up the process's. */
  #disconnect(): void {
    process.off("SIGWINCH", this.#onResize);
    process.stdin.off("data", this.#onInput);
    if (process.stdin.isTTY) process.stdin.setRawMode(false);
    process.stdin.pause();
    if (this.#master >= 0) closeSync(this.#master);
    this.#master = -1;
  }

  /**
   * After the process has ended: waits for its last output, and gives the terminal back.
   * @throws what kept the output from being written, but that nobody reads it.
   */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#drained;
    this.#disconnect();
    closeSync(this.#listener);
    rmSync(this.socketPath, { force: true });
    if (this.#failure && !NOBODY_READS.has(errnoCode(this.#failure) ?? "")) throw this.#failure;
  }

  #resize(): void {
    const { columns, rows } = process.stdout;
    if (!columns || !rows || this.#master < 0) return;
    try {
      consoleAddon.setWindowSize(this.#master, columns, rows);
    } catch (error) {
      if (errnoCode(error) !== "EIO") throw error;
    }
  }
}
