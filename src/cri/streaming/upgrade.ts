/**
 * From a client's upgrade request to what serves it: which transport (SPDY/3.1 or WebSocket), which version of the
 * stream protocol, and then the session.
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { createWebSocketStream, type WebSocket, WebSocketServer } from "ws";
import { errorMessage } from "../../base/errors.ts";
import type { ProcessSession } from "../../engine/engine.ts";
import { IdleTimeout } from "./idle-timeout.ts";
import { PORT_FORWARD_PROTOCOL, servePortForward } from "./port-forward.ts";
import { type RemoteChannels, serveRemoteCommand } from "./remote-command.ts";
import type { StreamRequest } from "./request-ticket.ts";
import { acceptSpdyChannels, REMOTE_COMMAND_PROTOCOLS } from "./spdy-remote-command.ts";
import type { StreamingServerOptions } from "./streaming-server.ts";
import { refuse, switchToSpdy } from "./upgrade-response.ts";
import {
  MAX_WEBSOCKET_PORTS,
  serveWebSocketPortForward,
  WEBSOCKET_PORT_FORWARD_PROTOCOLS,
} from "./websocket-port-forward.ts";
import { acceptWebSocketChannels, WEBSOCKET_COMMAND_PROTOCOLS } from "./websocket-remote-command.ts";

/** One message; clients send what they have read at once, some ten KiB. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
/** SPDY frames inside of WebSocket messages. */
const TUNNEL_PROTOCOL = `SPDY/3.1+${PORT_FORWARD_PROTOCOL}`;

/** Resolves when the client has been served or refused. */
export async function serveUpgrade(
  options: StreamingServerOptions,
  ticket: StreamRequest,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const idle = new IdleTimeout(options.idleTimeoutMs, () => socket.destroy());
  try {
    const protocols = (request.headers.upgrade ?? "").toLowerCase().split(/\s*,\s*/);
    if (protocols.includes("websocket")) await serveWebSocket(options, ticket, request, socket, head, idle);
    else if (protocols.includes("spdy/3.1")) {
      if (head.length > 0) socket.unshift(head);
      await serveSpdy(options, ticket, request, socket, idle);
    } else refuse(socket, 400, "only SPDY/3.1 and websocket are spoken here");
  } finally {
    idle.stop();
  }
}

async function serveSpdy(
  options: StreamingServerOptions,
  ticket: StreamRequest,
  request: IncomingMessage,
  socket: Duplex,
  idle: IdleTimeout,
): Promise<void> {
  const offered = listOf(request.headers["x-stream-protocol-version"]);
  if (offered.length === 0) {
    refuse(socket, 400, "the header X-Stream-Protocol-Version is missing");
    return;
  }
  const known =
    ticket.kind === "portforward" ? [PORT_FORWARD_PROTOCOL] : [...REMOTE_COMMAND_PROTOCOLS.keys()];
  const chosen = offered.find((name) => known.includes(name));
  if (chosen === undefined) {
    refuse(socket, 403, `none of the stream protocols ${offered.join(", ")} is spoken here`, {
      "x-accepted-stream-protocol-versions": known.join(", "),
    });
    return;
  }
  switchToSpdy(socket, chosen);
  const touch = (): void => idle.touch();
  const { creationTimeoutMs } = options;
  if (ticket.kind === "portforward") {
    await servePortForward(socket, connector(options, ticket.podSandboxId), creationTimeoutMs, touch);
    return;
  }
  const version = REMOTE_COMMAND_PROTOCOLS.get(chosen) ?? 1;
  await serveCommand(
    options,
    ticket,
    await acceptSpdyChannels(socket, ticket, version, creationTimeoutMs, touch),
  );
}

async function serveWebSocket(
  options: StreamingServerOptions,
  ticket: StreamRequest,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  idle: IdleTimeout,
): Promise<void> {
  const offered = listOf(request.headers["sec-websocket-protocol"]);
  const names = offered.length === 0 ? [""] : offered;
  const touch = (): void => idle.touch();
  const accept = <T>(protocol: string, use: (opened: WebSocket) => T): Promise<T> =>
    acceptWebSocket(request, socket, head, protocol, use);
  if (ticket.kind !== "portforward") {
    const name = names.find((candidate) => WEBSOCKET_COMMAND_PROTOCOLS.has(candidate));
    const codec = WEBSOCKET_COMMAND_PROTOCOLS.get(name ?? "none");
    if (name === undefined || !codec) return refuseProtocols(socket, offered);
    const channels = await accept(name, (opened) => acceptWebSocketChannels(opened, ticket, codec, touch));
    await serveCommand(options, ticket, channels);
    return;
  }
  const connect = connector(options, ticket.podSandboxId);
  if (names.includes(TUNNEL_PROTOCOL)) {
    const tunnel = await accept(TUNNEL_PROTOCOL, (opened) => createWebSocketStream(opened));
    await servePortForward(tunnel, connect, options.creationTimeoutMs, touch);
    return;
  }
  const name = names.find((candidate) => WEBSOCKET_PORT_FORWARD_PROTOCOLS.has(candidate));
  const codec = WEBSOCKET_PORT_FORWARD_PROTOCOLS.get(name ?? "none");
  if (name === undefined || !codec) return refuseProtocols(socket, offered);
  const { ports } = ticket;
  if (ports.length === 0 || ports.length > MAX_WEBSOCKET_PORTS)
    return refuse(socket, 400, `this protocol forwards the request's ports, and there are ${ports.length}`);
  const served = await accept(name, (opened) => ({
    end: serveWebSocketPortForward(opened, ports, codec, connect, touch),
  }));
  await served.end;
}

function refuseProtocols(socket: Duplex, offered: string[]): void {
  refuse(socket, 403, `none of the protocols ${offered.join(", ")} is spoken here`);
}

/**
 * @param use called as soon as the connection is open, so that it misses no message.
 * @throws where the handshake is wrong, which the client has been told.
 */
async function acceptWebSocket<T>(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  protocol: string,
  use: (opened: WebSocket) => T,
): Promise<T> {
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
  });
  // Kubernetes has subprotocols with a slash, which by the standard cannot be in a name, and ws refuses them.
  delete request.headers["sec-websocket-protocol"];
  if (protocol !== "") server.on("headers", (lines) => lines.push(`Sec-WebSocket-Protocol: ${protocol}`));
  return await new Promise((resolve, reject) => {
    const failed = (): void => reject(new Error("the WebSocket handshake failed"));
    socket.once("close", failed);
    server.handleUpgrade(request, socket, head, (opened) => {
      socket.off("close", failed);
      resolve(use(opened));
    });
  });
}

async function serveCommand(
  { engine, log }: StreamingServerOptions,
  ticket: Exclude<StreamRequest, { kind: "portforward" }>,
  channels: RemoteChannels,
): Promise<void> {
  const outcome = await serveRemoteCommand(channels, (signal) =>
    ticket.kind === "exec"
      ? engine.exec(
          ticket.containerId,
          { command: ticket.command, terminal: ticket.tty, stdin: ticket.stdin },
          signal,
        )
      : engine.attach(ticket.containerId, signal).then(endingWell),
  );
  const how = "exitCode" in outcome ? { exitCode: outcome.exitCode } : { err: errorMessage(outcome.error) };
  log.debug({ kind: ticket.kind, containerId: ticket.containerId, ...how }, "streaming ended");
}

/** The end of a container is no failure of an attach; its exit code is in its status. */
function endingWell(session: ProcessSession): ProcessSession {
  return { ...session, wait: async () => ({ ...(await session.wait()), exitCode: 0 }) };
}

function connector({ engine }: StreamingServerOptions, podSandboxId: string) {
  return (port: number, signal: AbortSignal): Promise<Duplex> =>
    engine.portForward(podSandboxId, port, signal);
}

function listOf(header: string | string[] | undefined): string[] {
  const text = Array.isArray(header) ? header.join(",") : (header ?? "");
  return text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
}
