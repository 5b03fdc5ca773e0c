/**
 * Port forwarding over SPDY. For each connection that its user makes, the client opens two streams that belong together
 * by their request id: one for the data, and one for an error, should there be any.
 *
 *   error stream + data stream ──connect in the pod's network──▶ data both ways ──▶ both closed
 *
 * An end of one direction is passed on, the other goes on; the error stream ends when both have.
 */
import type { Duplex } from "node:stream";
import { abortable } from "../../base/abort.ts";
import { errorMessage, GantryError } from "../../base/errors.ts";
import { pump } from "./pump.ts";
import { SpdyConnection } from "./spdy-connection.ts";
import type { SpdyStream } from "./spdy-stream.ts";

export const PORT_FORWARD_PROTOCOL = "portforward.k8s.io";

/** Connects to a port inside the pod. */
export type ConnectPort = (port: number, signal: AbortSignal) => Promise<Duplex>;

interface Pair {
  data?: SpdyStream;
  error?: SpdyStream;
  timer: NodeJS.Timeout;
}

/** Serves one client until it has gone. Never rejects. */
export async function servePortForward(
  socket: Duplex,
  connect: ConnectPort,
  creationTimeoutMs: number,
  onActivity: () => void,
): Promise<void> {
  const pairs = new Map<string, Pair>();
  const gone = new AbortController();
  const onStream = (stream: SpdyStream): void => {
    const type = stream.headers.get("streamtype");
    if (type !== "data" && type !== "error") {
      stream.destroy();
      return;
    }
    const id = requestId(stream, type);
    let pair = pairs.get(id);
    if (!pair) {
      const half: Pair = { timer: setTimeout(() => giveUp(pairs, id, half), creationTimeoutMs) };
      pairs.set(id, (pair = half));
    }
    if (pair[type]) {
      stream.destroy();
      return;
    }
    pair[type] = stream;
    const joined = pair;
    stream.once("close", () => {
      if (pairs.get(id) === joined) giveUp(pairs, id, joined);
    });
    const { data, error } = pair;
    if (!data || !error) return;
    clearTimeout(pair.timer);
    pairs.delete(id);
    void forward(data, error, connect, gone.signal);
  };
  const connection = new SpdyConnection(socket, { onStream, onActivity });
  await connection.closed;
  gone.abort(new GantryError("cancelled", "the client has gone"));
  for (const { timer } of pairs.values()) clearTimeout(timer);
}

/** Old clients give none: their data stream comes right after its error stream. */
function requestId(stream: SpdyStream, type: "data" | "error"): string {
  return stream.headers.get("requestid") ?? `stream ${type === "data" ? stream.id - 2 : stream.id}`;
}

function giveUp(pairs: Map<string, Pair>, id: string, pair: Pair): void {
  clearTimeout(pair.timer);
  pairs.delete(id);
  pair.data?.destroy();
  pair.error?.destroy();
}

async function forward(
  data: SpdyStream,
  error: SpdyStream,
  connect: ConnectPort,
  gone: AbortSignal,
): Promise<void> {
  error.resume();
  let target: Duplex | undefined;
  try {
    // A client may give this one connection up while we make it.
    const given = new AbortController();
    data.once("close", () => given.abort(new GantryError("cancelled", "the stream is closed")));
    target = await connect(portOf(data), AbortSignal.any([gone, given.signal]));
    // The client's streams may have ended, and what is in the pod not have taken all of it yet.
    await abortable(carryBothWays(data, target), gone);
    error.end();
  } catch (cause) {
    // Where the client itself broke it off, there is nobody to be told.
    if (target || data.destroyed) error.end();
    else error.end(errorMessage(cause));
    data.destroy();
  } finally {
    target?.destroy();
  }
}

/** Until both directions have ended. @throws where either side breaks off. */
export async function carryBothWays(client: Duplex, target: Duplex): Promise<void> {
  target.on("error", () => undefined);
  await Promise.all([pump(client, target), pump(target, client)]);
}

function portOf(stream: SpdyStream): number {
  const text = stream.headers.get("port") ?? "";
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535)
    throw new GantryError("invalid-argument", `${JSON.stringify(text)} is not a port`);
  return port;
}
