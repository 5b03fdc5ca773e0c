/**
 * The CRI server: both services of CRI v1 on one unix socket.
 *
 *   const server = createCriServer({ engine, streaming, log, version });
 *   await server.listen("/run/gantry/gantry.sock");
 *   …
 *   await server.drain(10_000);
 *
 * Who may connect is decided by the socket's directory and mode, which come from the process's umask; there is no
 * authentication.
 */
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { GantryError, wrapError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import type { Engine } from "../engine/engine.ts";
import { implement, type AnyRpc, type Dispatch } from "./dispatch.ts";
import { imageService } from "./image-service.ts";
import { imageServiceDefinition, runtimeServiceDefinition, type WireService } from "./protocol.ts";
import { RunningCalls } from "./running-calls.ts";
import { runtimeService } from "./runtime-service.ts";
import type { StreamingServer } from "./streaming/streaming-server.ts";
import { freeSocketPath } from "./unix-socket.ts";

/** What kubelets and crictl accept, and so what they send. */
const DEFAULT_MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
/** How long a call may take to answer after it was told to give up. */
const ABORT_GRACE_MS = 1000;

export interface CriServerOptions {
  engine: Engine;
  /** Where clients of Exec, Attach and PortForward are sent; not closed by this server. */
  streaming: StreamingServer;
  log: Logger;
  /** Version of Gantry, for Version. */
  version: string;
  /** Largest request. Replies are not bounded here: the client's own limit is. */
  maxMessageBytes?: number;
}

export interface CriServer {
  /** Replaces a socket that a killed daemon left. @throws already-exists if another process listens there. */
  listen(socketPath: string): Promise<void>;
  /**
   * Stops serving: no new calls, those that run may finish within the timeout and are aborted then. Resolves when
   * none runs and the socket is gone; does not reject.
   */
  drain(timeoutMs: number): Promise<void>;
  /** Drops every connection at once. */
  close(): void;
}

export function createCriServer(options: CriServerOptions): CriServer {
  const server = new Server({
    "grpc.max_receive_message_length": options.maxMessageBytes ?? DEFAULT_MAX_MESSAGE_BYTES,
    "grpc.max_send_message_length": -1,
    // Bounds what one connection can start at once; a kubelet that stops a full node needs some thousands.
    "grpc.max_concurrent_streams": 10_000,
    "grpc.enable_channelz": 0,
  });
  const calls = new RunningCalls();
  const dispatch: Dispatch = {
    context: { engine: options.engine, streaming: options.streaming, version: options.version },
    log: options.log,
    calls,
  };
  addService(server, dispatch, runtimeServiceDefinition, runtimeService);
  addService(server, dispatch, imageServiceDefinition, imageService);
  return {
    listen: async (socketPath) => {
      await freeSocketPath(socketPath);
      await bind(server, socketPath);
    },
    drain: async (timeoutMs) => {
      const stopping = new GantryError("unavailable", "the daemon is stopping");
      calls.refuse(stopping);
      const closed = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
      if (!(await within(timeoutMs, calls.idle()))) {
        calls.abortAll(stopping);
        await within(ABORT_GRACE_MS, calls.idle());
      }
      await within(ABORT_GRACE_MS, closed);
      server.forceShutdown();
    },
    close: () => {
      calls.abortAll(new GantryError("unavailable", "the daemon is stopping"));
      server.forceShutdown();
    },
  };
}

function addService(
  server: Server,
  dispatch: Dispatch,
  definition: WireService,
  table: Readonly<Record<string, AnyRpc>>,
): void {
  const handlers: Record<string, ReturnType<typeof implement>> = {};
  for (const [rpc, method] of Object.entries(definition)) {
    const handler = table[rpc];
    if (handler === undefined) throw new Error(`no handler for ${rpc}`);
    handlers[rpc] = implement(dispatch, rpc, handler, method.responseStream);
  }
  server.addService(definition, handlers);
}

async function bind(server: Server, socketPath: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix://${socketPath}`, ServerCredentials.createInsecure(), (error) => {
      if (error) reject(wrapError(`socket "${socketPath}"`, error, "unavailable"));
      else resolve();
    });
  });
}

/** Whether the promise was fulfilled in time. */
async function within(ms: number, promise: Promise<void>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(false), ms)));
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}
