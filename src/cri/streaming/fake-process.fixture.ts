/** A process for tests of the streaming server: a test writes its output, reads its input and ends it. */
import { PassThrough } from "node:stream";
import type { ProcessSession } from "../../engine/engine.ts";

export class FakeProcess implements ProcessSession {
  readonly stdin = new PassThrough();
  readonly stdout = new PassThrough();
  readonly stderr = new PassThrough();
  readonly sizes: string[] = [];
  /** Resolves when its client has left it. */
  readonly left: Promise<void>;
  readonly #left = Promise.withResolvers<void>();
  readonly #exit = Promise.withResolvers<{ exitCode: number; signal: number }>();

  constructor() {
    this.left = this.#left.promise;
  }

  /** Ends its output and itself. */
  exits(exitCode: number): void {
    this.stdout.end();
    this.stderr.end();
    this.#exit.resolve({ exitCode, signal: 0 });
  }

  /** Copies its input to its output, and exits at its end. */
  echoes(exitCode = 0): void {
    this.stdin.pipe(this.stdout, { end: false });
    this.stdin.once("end", () => this.exits(exitCode));
  }

  resize = (width: number, height: number): Promise<void> => {
    this.sizes.push(`${width}x${height}`);
    return Promise.resolve();
  };
  wait = (): Promise<{ exitCode: number; signal: number }> => this.#exit.promise;
  close = (): void => this.#left.resolve();
}
