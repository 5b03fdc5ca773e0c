/**
 * The channels of an exec or attach as SPDY streams. The client makes one stream for each, told apart by a header; work
 * begins when all that the request named are there.
 */
import { GantryError } from "../../base/errors.ts";
import type { RemoteChannels } from "./remote-command.ts";
import type { CommandRequest } from "./request-ticket.ts";
import { SpdyConnection, type SpdyConnectionOptions } from "./spdy-connection.ts";
import type { SpdyStream } from "./spdy-stream.ts";
import type { Duplex } from "node:stream";

/** In the order of preference where a client leaves the choice to us; it does not. */
export const REMOTE_COMMAND_PROTOCOLS: ReadonlyMap<string, number> = new Map([
  ["v4.channel.k8s.io", 4],
  ["v3.channel.k8s.io", 3],
  ["v2.channel.k8s.io", 2],
  ["channel.k8s.io", 1],
]);

/** @throws deadline-exceeded where the client has not made its streams in time, cancelled where it has gone. */
export async function acceptSpdyChannels(
  socket: Duplex,
  request: CommandRequest,
  protocolVersion: number,
  creationTimeoutMs: number,
  onActivity: NonNullable<SpdyConnectionOptions["onActivity"]>,
): Promise<RemoteChannels> {
  const expected = new Set(["error"]);
  for (const name of ["stdin", "stdout", "stderr"] as const) if (request[name]) expected.add(name);
  if (request.tty && protocolVersion >= 3) expected.add("resize");

  const streams = new Map<string, SpdyStream>();
  const complete = Promise.withResolvers<void>();
  const onStream = (stream: SpdyStream): void => {
    const type = stream.headers.get("streamtype") ?? "";
    if (!expected.has(type) || streams.has(type)) {
      stream.destroy();
      return;
    }
    streams.set(type, stream);
    // Nothing is expected from the client on the others but their end.
    if (type !== "stdin" && type !== "resize") stream.resume();
    if (streams.size === expected.size) complete.resolve();
  };
  const connection = new SpdyConnection(socket, { onStream, onActivity });
  const late = new GantryError("deadline-exceeded", "the client has not made its streams in time");
  const timer = setTimeout(() => complete.reject(late), creationTimeoutMs);
  void connection.closed.then(() => complete.reject(new GantryError("cancelled", "the client has gone")));
  try {
    await complete.promise;
  } catch (error) {
    connection.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
  }
  const error = streams.get("error");
  if (!error) throw new GantryError("internal", "no error stream");
  return {
    protocolVersion,
    stdin: streams.get("stdin"),
    stdout: streams.get("stdout"),
    stderr: streams.get("stderr"),
    error,
    resize: streams.get("resize"),
    closed: connection.closed,
    end: () => connection.end(),
  };
}
