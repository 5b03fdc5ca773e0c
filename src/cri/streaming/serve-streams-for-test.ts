/** A streaming server over a fake engine whose exec and attach give one fake process, for one test. */
import { type Duplex, PassThrough } from "node:stream";
import { silentLogger } from "../../base/logger.ts";
import type { ProcessSession } from "../../engine/engine.ts";
import { fakeEngine } from "../fake-engine.ts";
import type { CommandRequest } from "./request-ticket.ts";
import {
  createStreamingServer,
  type StreamingServer,
  type StreamingServerOptions,
} from "./streaming-server.ts";

/** A process of which a test writes the output, reads the input and tells the end. */
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

export interface ServedStreams extends AsyncDisposable {
  server: StreamingServer;
  process: FakeProcess;
  /** Arguments of each call of the engine. */
  asked: unknown[];
  /** A URL for an exec of "cat" with these streams. */
  exec(streams?: Partial<CommandRequest>): Promise<string>;
  portForward(...ports: number[]): Promise<string>;
}

export interface ServeOptions extends Partial<StreamingServerOptions> {
  connect?: (port: number, signal: AbortSignal) => Promise<Duplex>;
  fails?: Error;
}

/** Use with `await using`. */
export function serveStreams({ connect, fails, ...options }: ServeOptions = {}): ServedStreams {
  const process = new FakeProcess();
  const asked: unknown[] = [];
  const give = (what: unknown): Promise<FakeProcess> => {
    asked.push(what);
    return fails ? Promise.reject(fails) : Promise.resolve(process);
  };
  const engine = fakeEngine({
    exec: (_id, command) => give(command),
    attach: (id) => give(id),
    portForward: (_id, port, signal) =>
      connect ? connect(port, signal) : Promise.reject(new Error(`port ${port}: connect: ECONNREFUSED`)),
  });
  const server = createStreamingServer({
    engine,
    log: silentLogger,
    address: "127.0.0.1",
    port: 0,
    tls: undefined,
    idleTimeoutMs: 0,
    creationTimeoutMs: 20_000,
    maxConnections: 100,
    ...options,
  });
  const command = { containerId: "c", tty: false, stdin: true, stdout: true, stderr: true };
  return {
    server,
    process,
    asked,
    exec: (streams = {}) => server.url({ kind: "exec", command: ["cat"], ...command, ...streams }),
    portForward: (...ports) => server.url({ kind: "portforward", podSandboxId: "p", ports }),
    [Symbol.asyncDispose]: () => server.close(),
  };
}
