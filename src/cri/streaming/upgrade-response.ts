/** Answers to a request for another protocol, before or instead of the change. */
import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";

/** A refused client has so long to close, too. */
const LINGER_MS = 5_000;

/** Answers with an error and closes, also where the client does not. */
export function refuse(
  socket: Duplex,
  status: number,
  message: string,
  headers: Record<string, string> = {},
): void {
  const body = `${message}\n`;
  const lines = {
    ...headers,
    "content-type": "text/plain; charset=utf-8",
    "content-length": String(Buffer.byteLength(body)),
    connection: "close",
  };
  socket.end(`${head(status, lines)}${body}`);
  // Node looks after HTTP connections only, and this is none any more.
  const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref();
  socket.once("close", () => clearTimeout(timer));
  socket.resume();
}

/** Agrees to SPDY; what follows on the socket is frames. */
export function switchToSpdy(socket: Duplex, streamProtocol: string): void {
  socket.write(
    head(101, {
      connection: "Upgrade",
      upgrade: "SPDY/3.1",
      "x-stream-protocol-version": streamProtocol,
    }),
  );
}

function head(status: number, headers: Record<string, string>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, ...lines, "", ""].join("\r\n");
}
