/** A streaming server over a fake engine whose exec and attach give one fake process, for one test. */
import type { Duplex } from "node:stream";
import { silentLogger } from "../../base/logger.ts";
import { fakeEngine } from "../fake-engine.ts";
import { FakeProcess } from "./fake-process.fixture.ts";
import type { CommandRequest } from "./request-ticket.ts";
import {
  createStreamingServer,
  type StreamingServer,
  type StreamingServerOptions,
} from "./streaming-server.ts";

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
