/**
 * The streaming server: where clients of Exec, Attach and PortForward come to, over HTTP or HTTPS, with the URL that
 * the RPC has given them.
 *
 *   Exec RPC ──issue──▶ URL with a token ──client──▶ upgrade ──redeem──▶ SPDY/3.1 or WebSocket ──▶ engine
 *
 * The token is the only secret: whoever has it is served, once, within a minute; everyone else gets 404. So the server
 * listens on the loopback address unless it is told otherwise. It starts with the first request.
 */
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { errorMessage, GantryError, wrapError } from "../../base/errors.ts";
import type { Logger } from "../../base/logger.ts";
import type { Engine } from "../../engine/engine.ts";
import { RequestTickets, type StreamRequest } from "./request-ticket.ts";
import type { CertifiedKey } from "./self-made-certificate.ts";
import { refuse } from "./upgrade-response.ts";

export interface StreamingServerOptions {
  engine: Engine;
  log: Logger;
  /** IP address or name to listen on, which is also the host of the URLs. */
  address: string;
  /** 0: any free one. */
  port: number;
  /** Undefined: plain HTTP. */
  tls: (() => CertifiedKey) | undefined;
  /** A connection without any traffic for so long is ended; 0: never. */
  idleTimeoutMs: number;
  /** What a client has to make its streams. */
  creationTimeoutMs: number;
  maxConnections: number;
}

export interface StreamingServer {
  /** The URL for the request, good for one connection within a minute. @throws resource-exhausted, unavailable. */
  url(request: StreamRequest): Promise<string>;
  /** Listens now, and not with the first request. @throws unavailable where the address is taken. */
  listen(): Promise<void>;
  /** Ends every connection, and with them the execs. Containers run on. */
  close(): Promise<void>;
}

/** A client that has connected has so long to send its request. */
const REQUEST_TIMEOUT_MS = 10_000;
const MAX_HTTP_HEADER_BYTES = 16 * 1024;

export function createStreamingServer(options: StreamingServerOptions): StreamingServer {
  const tickets = new RequestTickets();
  const sockets = new Set<Duplex>();
  let listening: Promise<Server> | undefined;
  let closed = false;

  const start = async (): Promise<Server> => {
    // Loaded when the first client is announced: a daemon without any need not have it in memory.
    const { serveUpgrade } = await import("./upgrade.ts");
    const server = await listener(options);
    server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      socket.on("error", () => undefined);
      const ticket = redeem(tickets, request.url ?? "");
      if (!ticket) return refuse(socket, 404, "no such request");
      serveUpgrade(options, ticket, request, socket, head).catch((error: unknown) => {
        options.log.debug({ kind: ticket.kind, err: errorMessage(error) }, "streaming ended with an error");
        socket.destroy();
      });
    });
    // Node keeps no account of upgraded connections.
    // Under TLS this is what carries it, which is there before the handshake and goes with it.
    server.on("connection", (socket: Duplex) => {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(options.port, options.address, resolve);
    }).catch((error: unknown) => {
      throw wrapError(`streaming server on ${options.address}:${options.port}`, error, "unavailable");
    });
    server.on("error", (error) => options.log.error({ err: errorMessage(error) }, "streaming server"));
    server.unref();
    return server;
  };
  const ensure = (): Promise<Server> => {
    if (closed) throw new GantryError("unavailable", "the daemon is stopping");
    return (listening ??= start().catch((error: unknown) => {
      listening = undefined;
      throw error;
    }));
  };
  return {
    url: async (request) => {
      const { port } = (await ensure()).address() as AddressInfo;
      const host = options.address.includes(":") ? `[${options.address}]` : options.address;
      return `${options.tls ? "https" : "http"}://${host}:${port}/${request.kind}/${tickets.issue(request)}`;
    },
    listen: async () => void (await ensure()),
    close: async () => {
      closed = true;
      const server = await listening?.catch(() => undefined);
      const ended = new Promise<void>((resolve) => (server ? server.close(() => resolve()) : resolve()));
      for (const socket of sockets) socket.destroy();
      server?.closeAllConnections();
      await ended;
    },
  };
}

async function listener(options: StreamingServerOptions): Promise<Server> {
  const limits = {
    maxHeaderSize: MAX_HTTP_HEADER_BYTES,
    headersTimeout: REQUEST_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: REQUEST_TIMEOUT_MS / 2,
    keepAlive: true,
    keepAliveInitialDelay: 30_000,
    noDelay: true,
  };
  const tls = options.tls?.();
  const server = tls
    ? (await import("node:https")).createServer({
        ...limits,
        cert: tls.certificate,
        key: tls.key,
        minVersion: "TLSv1.2",
        handshakeTimeout: REQUEST_TIMEOUT_MS,
      })
    : createServer(limits);
  server.maxConnections = options.maxConnections;
  // Who does not ask for another protocol gets nothing here, and says no more.
  server.on("request", (_request, response) =>
    response.writeHead(404, { connection: "close" }).end("no such request\n"),
  );
  return server;
}

/** Of "/exec/TOKEN", whatever query follows. */
function redeem(tickets: RequestTickets, url: string): StreamRequest | undefined {
  const [path = ""] = url.split("?", 1);
  const [, kind, token, ...rest] = path.split("/");
  if (kind === undefined || token === undefined || rest.length > 0) return undefined;
  const request = tickets.redeem(token);
  return request?.kind === kind ? request : undefined;
}
