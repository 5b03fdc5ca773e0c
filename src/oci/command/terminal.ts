/**
 * The terminal of a process in the foreground: its master comes from the launcher, and is joined with the terminal
 * that this command has. Where nobody takes the output any more, the process's terminal hangs up, as one whose window is
 * closed: the process gets EIO, as it gets EPIPE of a pipe, and ends or goes on as it likes.
 */
import { closeSync, read, rmSync } from "node:fs";
import { join } from "node:path";
import { errnoCode } from "../../base/errors.ts";
import { consoleAddon } from "../../native/console.ts";

const RECEIVE_TIMEOUT_MS = 10_000;
const OUTPUT_BYTES = 64 * 1024;
const SHORTEST_WAIT_MS = 1;
const LONGEST_WAIT_MS = 32;
const ignore = (): void => undefined;

/** A pipe or socket without a reader, or a terminal that is gone: of a file, EIO tells of a failing disk. */
function nobodyReads(error: Error): boolean {
  const code = errnoCode(error);
  return code === "EPIPE" || code === "ECONNRESET" || (code === "EIO" && process.stdout.isTTY);
}

export class ForegroundTerminal {
  readonly socketPath: string;
  readonly #listener: number;
  #master = -1;
  #drained: Promise<void> = Promise.resolve();
  /** Why the output ended before the process did. */
  #failure: Error | undefined;
  #closed = false;
  readonly #onResize = (): void => this.#resize();
  /** For the rest of a piece of input that the process has not made room for. */
  #waiting: NodeJS.Timeout | undefined;
  readonly #onInput = (chunk: Buffer): void => this.#feed(chunk, SHORTEST_WAIT_MS);

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

  /**
   * Gives the process what it has room for, and the rest later. A write that waits in the kernel would take a thread from
   * reading the output, and keep the terminal from hanging up when it is closed, until the process reads.
   */
  #feed(chunk: Buffer, waitMs: number): void {
    if (this.#master < 0) return;
    let taken: number;
    try {
      taken = consoleAddon.writeNow(this.#master, chunk);
    } catch {
      // No slave is open: what is typed now is for nobody.
      taken = chunk.length;
    }
    if (taken === chunk.length) {
      process.stdin.resume();
      return;
    }
    process.stdin.pause();
    const next = taken > 0 ? SHORTEST_WAIT_MS : Math.min(waitMs * 2, LONGEST_WAIT_MS);
    this.#waiting = setTimeout(() => this.#feed(chunk.subarray(taken), next), next);
  }

  /** Until the last slave has been closed. Each piece has been taken before the next is read: the end loses none. */
  async #copyOutput(): Promise<void> {
    const buffer = Buffer.alloc(OUTPUT_BYTES);
    for (;;) {
      // Reading a master whose last slave has been closed fails with EIO: that is its end.
      const count = await new Promise<number | "again">((resolve) =>
        read(this.#master, buffer, 0, OUTPUT_BYTES, null, (error, bytes) =>
          resolve(error?.code === "EAGAIN" ? "again" : error ? 0 : bytes),
        ),
      );
      if (count === "again") continue;
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
    clearTimeout(this.#waiting);
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
    if (this.#failure && !nobodyReads(this.#failure)) throw this.#failure;
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
